/**
 * A walk over entries at the level of the engine: its cursor, and the fixed view that the cursor reads.
 */

import { BLOCKED, type EngineCursor, MISSING } from '../engine/engine.ts'
import { type Block, Found } from '../engine/found.ts'
import type { Routine } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import type { Core } from './core.ts'
import type { Lease } from './life.ts'
import type { Scan } from './range.ts'
import { View } from './view.ts'

export class Walk implements Lease {
  readonly what = 'A cursor'
  readonly cursor: EngineCursor
  readonly #view: View | undefined
  /** The entry that was found last is still being read: if the walk ends meanwhile, it is not given. */
  isReading = false
  /** Where the walk stood when it ended. */
  #token: Uint8Array | undefined

  constructor(cursor: EngineCursor, view: View | undefined) {
    this.cursor = cursor
    this.#view = view
  }

  get token(): Uint8Array {
    return this.#token ?? this.cursor.token()
  }

  release(): void {
    if (this.isReading) this.cursor.takeBack()
    this.#token = this.cursor.token()
    this.cursor.close()
    this.#view?.release()
  }
}

/** A fixed view of now, where the engine has such. */
export function viewOfNow<K, V>(core: Core<K, V>): View | undefined {
  return core.engine.snapshot === undefined ? undefined : new View(core.engine.snapshot())
}

/** Begins a walk over `view`, or over now; the caller leases it. */
export function startWalk<K, V>(core: Core<K, V>, scan: Scan, view: View | undefined): Walk {
  const { from, to, reverse, token } = scan
  const held = view?.hold() ?? viewOfNow(core)
  try {
    return new Walk(core.engine.cursor({ at: held?.at, from, to, reverse, token }), held)
  } catch (error) {
    held?.release()
    throw error
  }
}

/** The number of entries of a scan. */
export function* countEntries<K, V>(
  core: Core<K, V>,
  scan: Scan,
  view: View | undefined,
): Routine<number> {
  view?.hold()
  const blocks: Block[] = []
  let walk: Walk | undefined
  try {
    if (core.life.unsettled) yield* core.queue.passed
    const { engine } = core
    if (engine.count !== undefined && scan.token === undefined) {
      scan.signal?.throwIfAborted()
      const { from, to, reverse, token, limit } = scan
      return Math.min(limit, yield* engine.count({ at: view?.at, from, to, reverse, token }))
    }
    walk = startWalk(core, scan, view)
    core.life.addLease(walk, undefined)
    const found = new Found()
    const slice = new Slice(core.environment)
    let count = 0
    while (count < scan.limit) {
      if (scan.signal?.aborted) throw scan.signal.reason
      if (slice.over()) yield* core.environment.pause
      const status = walk.cursor.next(found)
      if (status === BLOCKED) {
        const block = found.block!
        blocks.push(block)
        yield* block.load
        continue
      }
      for (const block of blocks) block.release()
      blocks.length = 0
      if (status === MISSING) break
      count++
    }
    return count
  } finally {
    for (const block of blocks) block.release()
    if (walk !== undefined) core.life.endLease(walk)
    view?.release()
  }
}
