/**
 * The new store of a salvage while it is being filled: a tree without a journal, for nothing of it counts before it is complete.
 *
 * 1. What is in memory only never takes more than `FRESH_BYTES`: then a checkpoint writes it.
 * 2. The next write of the new store gets a higher sequence than any that was seen in the old one.
 */

import type { EngineContext, SalvageContext } from '../../engine/engine.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import { DESCRIPTOR_NAME } from '../../storage/descriptor.ts'
import { Change } from './change.ts'
import { checkpoint } from './checkpoint.ts'
import { Checkpointer } from './checkpointer.ts'
import { type Extent, isPageSize } from './format.ts'
import { Leaf } from './leaf.ts'
import type { BtreeOptions } from './options.ts'
import { PRESENT } from './path.ts'
import { recover } from './recovery.ts'
import { ExtentSpool } from './spool.ts'
import type { TreeState } from './state.ts'

const CACHE_BYTES = 64 * 1024 * 1024
const FRESH_BYTES = 32 * 1024 * 1024
const DEFAULTS: Required<BtreeOptions> = { pageBytes: 16_384, checkpointBytes: FRESH_BYTES }

/** What an entry is besides its key and value. */
export interface Version {
  readonly sequence: number
  readonly expiry: number
  readonly ascii: boolean
}

export class SalvageTarget {
  /** The highest sequence seen in the old store. */
  sequence = 0
  readonly #context: EngineContext
  readonly #options: Required<BtreeOptions>
  readonly #leaf: Leaf = new Leaf()
  #state: TreeState
  #change: Change

  constructor(context: EngineContext, options: Required<BtreeOptions>, state: TreeState) {
    this.#context = context
    this.#options = options
    this.#state = state
    this.#change = new Change(state)
  }

  static *create(
    { to, form, folder: from }: SalvageContext,
    environment: Environment,
  ): Routine<SalvageTarget> {
    const { folder, descriptor } = to
    const options = { ...DEFAULTS, ...descriptor.options }
    if (!isPageSize(options.pageBytes)) {
      throw corruption(
        `${from}/${DESCRIPTOR_NAME}`,
        0,
        'it names a page size that there is none of',
      )
    }
    const context = {
      environment,
      folder,
      descriptor,
      form,
      options,
      cacheBytes: CACHE_BYTES,
      created: true,
    }
    return new SalvageTarget(context, options, yield* recover(context, options, 0))
  }

  /** The sequence of what stands under a key; 0: nothing does. */
  *sequenceOf(key: Buffer): Routine<number> {
    const { tree, file } = this.#state
    yield* tree.warm(key, 0, key.length)
    if (tree.reach(tree.root, key, 0, key.length) !== PRESENT) return 0
    const page = tree.leaf
    page.read(tree.slot)
    this.#leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
    return this.#leaf.sequence
  }

  *put(key: Buffer, value: Uint8Array, { sequence, expiry, ascii }: Version): Routine<void> {
    yield* this.#prepare(key, sequence)
    this.#change.put(key, 0, key.length, value, 0, value.length, sequence, expiry, ascii)
  }

  /** Puts a long value piece by piece. `fill` appends them; where it cannot, nothing is put. */
  *putPieces(
    key: Buffer,
    { sequence, expiry }: Version,
    fill: (append: (piece: Buffer) => Routine<void>) => Routine<boolean>,
  ): Routine<boolean> {
    const spool = new ExtentSpool(this.#state)
    this.#state.spools.add(spool)
    if (!(yield* fill((piece) => spool.append(piece, 0, piece.length)))) {
      yield* spool.discard()
      return false
    }
    yield* spool.finish()
    yield* this.#prepare(key, sequence)
    const extent: Extent = spool.extent
    this.#change.putExtent(key, 0, key.length, extent, sequence, expiry)
    spool.put()
    return true
  }

  *delete(key: Buffer): Routine<void> {
    yield* this.#prepare(key, 0)
    this.#change.delete(key, 0, key.length)
  }

  *deleteRange(from: Buffer, to: Buffer): Routine<void> {
    yield* this.#prepare(from, 0)
    this.#change.deleteRange(from, to)
  }

  /** Makes it durable, with a clean end; tells what is in it. */
  *finish(): Routine<{ entries: number; bytes: number }> {
    yield* checkpoint(this.#state)
    yield* this.close()
    this.#state = yield* recover(this.#context, this.#options, this.sequence)
    const { tree, pages, file } = this.#state
    yield* new Checkpointer(this.#state, this.#options).finish()
    return { entries: tree.entries, bytes: pages.space.used * file.pageBytes }
  }

  /** Lets go of all files. Repeating it is harmless. */
  *close(): Routine<void> {
    if (this.#state.closed) return
    this.#state.journal.abandon()
    yield* this.#state.close()
  }

  /** Brings what a change of a key needs into memory, and makes room there. */
  *#prepare(key: Buffer, sequence: number): Routine<void> {
    const { pages, file, tree } = this.#state
    this.sequence = Math.max(this.sequence, sequence)
    if (pages.fresh * file.pageBytes > FRESH_BYTES) yield* checkpoint(this.#state)
    yield* tree.warm(key, 0, key.length)
  }
}
