/**
 * Following a store that another process has open: what comes into its journal is told as `watch` tells changes.
 *
 *   journal of the store ─► JournalFollower ─► commits ─► Changes ─► Telling: who watches
 *                                                └─ catalogue ─► a store in memory, with nothing in it but the list of tables
 *
 * 1. Nothing is locked and nothing written. The list of tables, and how far the store has been written, come from opening it with its
 *    changes kept in memory, as for `readOnly`; its writer goes on meanwhile, so what does not fit together is tried again.
 * 2. A frame is one commit, for it does not say where its batches end. Where the list of tables is changed in it, what came before that is
 *    one, that and what goes to new tables another: versions are told in their order.
 * 3. It is not read faster than it is taken. When the writer takes segments away that were not read, a gap is told, and it goes on
 *    behind that.
 */

import { readVarint } from '../bytes/varint.ts'
import type { Engine, EngineModule } from '../engine/engine.ts'
import { SPOOL_BYTES } from '../engine/spool.ts'
import { DELETE_RANGE } from '../engine/write-batch.ts'
import { engines } from '../engines.ts'
import type { Environment, Timer } from '../environment/environment.ts'
import { MEMORY_FOLDER, nodeEnvironment } from '../environment/node.ts'
import { effect, immediate, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { storeForm } from '../storage/block-form.ts'
import type { CompressionName } from '../storage/compression.ts'
import { entryHeaderLength, REFERENCE, writeEntryHeader } from '../storage/entry.ts'
import { type FollowedFrame, JournalFollower } from '../storage/journal-follower.ts'
import type { JournalEntry } from '../storage/journal-recovery.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { NO_LOCK } from '../vfs/no-lock.ts'
import { overlayFiles } from '../vfs/overlay.ts'
import { checkNames, checkObject } from './arguments.ts'
import { CATALOGUE_KEY, type Catalogue, decodeCatalogue } from './catalogue.ts'
import type { Followed, Watch, WatchOptions } from './change-types.ts'
import type { Codec, KeyCodecs, ValueCodecs } from './codec.ts'
import { Life } from './life.ts'
import { engineOptions, type OpenPlan, planOpen } from './open-plan.ts'
import { type Identity, moduleOf, openLife, readChecked, readOnlyEnvironment } from './opening.ts'
import type { Encryption, EngineName } from './options.ts'
import { KvarkStore } from './store.ts'
import type { SchemaOption, TableAccess, TableInfo, TableOptions } from './types.ts'

const POLL_MS = 50
/** So often a store that is being written is opened, until what was read of it fits together. */
const MOST_TRIES = 5
const CACHE_BYTES = 1024 * 1024
const NAMES: readonly string[] = [
  'engine',
  'keys',
  'values',
  'compression',
  'encryption',
  'environment',
]

/** How to read the store: as it was made. */
export interface FollowOptions<KC, VC> {
  /** Default `any`. */
  readonly engine?: EngineName
  /** How keys become bytes (default `utf8`). */
  readonly keys?: KC
  /** How values become bytes (default `utf8`). */
  readonly values?: VC
  readonly compression?: CompressionName
  /** The secret of an encrypted store. */
  readonly encryption?: Encryption
  /** Another world to live in: files, clock, randomness. For tests. */
  readonly environment?: Environment
}

/** A store that another process writes, as far as it can be seen from outside: its tables, and what changes in them. */
export interface Follower<K, V> extends Followed<K, V>, TableAccess<'followed'>, AsyncDisposable {
  /** Ends it, and all that watch. Harmless when repeated. */
  close(): Promise<void>
}

/**
 * Follows the store in the folder `path`, which may be open elsewhere: from now on its changes can be watched, as soon as they have been
 * handed to the operating system. Nothing is locked, and nothing written.
 *
 * `NOT_FOUND`: there is no store. `BAD_ENCRYPTION_KEY`: it is encrypted, and the secret does not open it. `MISMATCH`: it was made with other
 * codecs. `CORRUPTION`: it is damaged. `IO`. When the store is removed or replaced later on, all who watch get `NOT_FOUND`.
 *
 * @example
 * const follower = await follow('./data', { values: 'json' })
 * for await (const change of follower.watch({ prefix: 'user:' })) console.log(change)
 */
export function follow<
  KC extends keyof KeyCodecs = 'utf8',
  VC extends keyof ValueCodecs = 'utf8',
  V extends ValueCodecs[VC] = ValueCodecs[VC],
>(path: string, options?: FollowOptions<KC, VC>): Promise<Follower<KeyCodecs[KC], V>>
export function follow<
  K,
  VC extends keyof ValueCodecs = 'utf8',
  V extends ValueCodecs[VC] = ValueCodecs[VC],
>(
  path: string,
  options: FollowOptions<Codec<K>, VC> & { readonly keys: Codec<K> },
): Promise<Follower<K, V>>
export function follow<V, KC extends keyof KeyCodecs = 'utf8'>(
  path: string,
  options: FollowOptions<KC, Codec<V>> & { readonly values: Codec<V> },
): Promise<Follower<KeyCodecs[KC], V>>
export function follow<K, V>(
  path: string,
  options: FollowOptions<Codec<K>, Codec<V>> & {
    readonly keys: Codec<K>
    readonly values: Codec<V>
  },
): Promise<Follower<K, V>>
export async function follow(path: string, options?: object): Promise<unknown> {
  return await followWith(engines, path, options)
}

/** `follow` with other engines than the ones of the package. */
export async function followWith(
  modules: Readonly<Record<string, EngineModule>>,
  path: string,
  options: object = {},
): Promise<StoreFollower> {
  checkObject(options, 'The options of follow')
  checkNames(options, NAMES, 'follow')
  const { environment } = options as { environment?: Environment }
  const plan = planOpen(modules, path, { engine: 'any', ...options, readOnly: true })
  return await effect(() => StoreFollower.open(modules, plan, environment)).async()
}

/** What was found of a store beside its writer. */
interface Found {
  readonly catalogue: Catalogue
  readonly sequence: number
}

export class StoreFollower implements Follower<unknown, unknown> {
  readonly #modules: Readonly<Record<string, EngineModule>>
  readonly #plan: OpenPlan
  readonly #given: Environment | undefined
  readonly #module: EngineModule
  readonly #journal: JournalFollower
  /** In memory: it has the tables, and who watches. */
  readonly #store: KvarkStore<unknown, unknown>
  readonly #life: Life
  #timer: Timer | undefined
  /** The poll that is under way; never rejects. */
  #polling: Promise<void> = Promise.resolve()
  #closing = false
  /** Why it has ended. */
  #failure: { readonly reason: unknown } | undefined

  private constructor(
    modules: Readonly<Record<string, EngineModule>>,
    plan: OpenPlan,
    given: Environment | undefined,
    identity: Identity,
    life: Life,
  ) {
    this.#modules = modules
    this.#plan = plan
    this.#given = given
    this.#module = modules[identity.descriptor.engine]!
    const { environment, folder } = plan
    const references = this.#module.lastLoaded !== undefined
    this.#journal = new JournalFollower(
      { environment, folder, ...identity },
      { shorterThan: SPOOL_BYTES, always: CATALOGUE_KEY },
      references,
    )
    this.#life = life
    this.#store = new KvarkStore(life, plan.keys, plan.values)
  }

  static *open(
    modules: Readonly<Record<string, EngineModule>>,
    plan: OpenPlan,
    given: Environment | undefined,
  ): Routine<StoreFollower> {
    const identity = yield* readChecked(plan)
    const module = moduleOf(modules, identity.descriptor, plan)
    const engine = yield* emptyEngine(module, plan, identity)
    const own = { engine, modules, given, lock: NO_LOCK, readOnly: false, expiryIntervalMs: 0 }
    const life = new Life({ ...plan, ...identity, ...own })
    const follower = new StoreFollower(modules, plan, given, identity, life)
    try {
      yield* follower.#begin()
    } catch (error) {
      yield* follower.#end()
      throw error
    }
    follower.#wait()
    return follower
  }

  /** Which table it gives is said by the types of `TableAccess`. */
  table(name: string, options?: TableOptions<unknown, unknown> & SchemaOption<unknown>): never
  table(
    name: string,
    options?: TableOptions<unknown, unknown> & SchemaOption<unknown>,
  ): Followed<unknown, unknown> {
    this.#checkAlive()
    const table: Followed<unknown, unknown> = this.#store.table(name, options)
    return { watch: (range) => this.#watch(table, range) }
  }

  tables(): TableInfo[] {
    this.#checkAlive()
    return this.#store.tables()
  }

  watch(options?: WatchOptions<unknown>): Watch<unknown, unknown> {
    return this.#watch(this.#store, options)
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#timer?.cancel()
    await this.#polling
    await effect(() => this.#end()).async()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #watch(
    table: Followed<unknown, unknown>,
    options: WatchOptions<unknown> | undefined,
  ): Watch<unknown, unknown> {
    this.#checkAlive()
    return table.watch(options)
  }

  #checkAlive(): void {
    if (this.#failure !== undefined) throw this.#failure.reason
  }

  /** The next poll, after a while. */
  #wait(): void {
    this.#timer = this.#plan.environment.timer(POLL_MS, () => {
      this.#polling = this.#pollNow()
    })
  }

  async #pollNow(): Promise<void> {
    const { changes } = this.#life
    try {
      if (!changes.waiting) await effect(() => this.#poll()).async()
      if (!this.#closing) this.#wait()
    } catch (reason) {
      this.#failure = { reason }
      changes.fail(reason)
      await effect(() => this.#end()).async()
    }
  }

  /** Tells what has come. */
  *#poll(): Routine<void> {
    const frames = yield* this.#journal.poll()
    if (frames !== undefined) {
      for (const frame of frames) this.#tell(frame)
      return
    }
    const { changes, tables } = this.#life
    const { sequence: told } = changes
    const { catalogue: before } = tables
    try {
      yield* this.#begin()
    } catch (error) {
      // While the store is removed or replaced, opening it fails in many ways.
      yield* this.#journal.checkStore()
      throw error
    }
    const { sequence: version } = changes
    if (version === told) return
    const { catalogue: after } = tables
    const entries = Buffer.alloc(0)
    changes.tell({ first: told + 1, version, durability: 'os', entries, before, after, gap: true })
  }

  /** Goes to the end of what is there. */
  *#begin(): Routine<void> {
    const { changes, tables } = this.#life
    yield* this.#journal.begin()
    // Later: what comes meanwhile is in the journal, too, and is passed over.
    const { catalogue, sequence } = yield* this.#look()
    yield* this.#journal.expect(sequence)
    tables.catalogue = catalogue
    changes.sequence = sequence
  }

  /** Opens the store beside its writer, for a moment. */
  *#look(): Routine<Found> {
    for (let tries = 1; ; tries++) {
      // Anew: it keeps what it has seen of the files.
      const plan = { ...this.#plan, environment: besideWriter(this.#plan.environment) }
      try {
        const life = yield* openLife(this.#modules, plan, this.#given)
        try {
          return { catalogue: life.tables.known(), sequence: life.engine.sequence }
        } finally {
          yield* closeEngine(life.engine)
        }
      } catch (error) {
        if (!isRace(error) || tries === MOST_TRIES) throw error
      }
      yield* this.#plan.environment.pause
    }
  }

  #tell(frame: FollowedFrame): void {
    const { changes, tables } = this.#life
    const { sequence } = changes
    let entries: JournalEntry[] = []
    for (const entry of frame) {
      if (entry.sequence <= sequence) continue
      entries.push(this.#asTold(entry))
      const after = this.#catalogueIn(entry)
      if (after === undefined) continue
      const { catalogue: before } = tables
      // From the first entry of a table that was not there all is of one batch, with those for the others in between. What empties a table
      // that is dropped is a part of that: it stands before the list without the table.
      const dropsLast = (one: JournalEntry): boolean =>
        one === entries.at(-2) && one.kind === DELETE_RANGE && !after.hasSpace(spaceOf(one))
      const isNew = (one: JournalEntry): boolean =>
        after.hasSpace(spaceOf(one)) && !before.hasSpace(spaceOf(one))
      const at = entries.findIndex((one) => one === entry || isNew(one) || dropsLast(one))
      this.#commit(entries.slice(0, at))
      this.#commit(entries.slice(at), after)
      entries = []
    }
    this.#commit(entries)
  }

  /** `after`: the tables, where this has changed them. */
  #commit(entries: readonly JournalEntry[], after?: Catalogue): void {
    if (entries.length === 0) return
    const { changes, tables } = this.#life
    const { catalogue: before } = tables
    const { sequence: first } = entries[0]!
    const { sequence: version } = entries.at(-1)!
    tables.catalogue = after ?? before
    changes.tell({
      first,
      version,
      durability: 'os',
      entries: encode(entries),
      before,
      after,
      gap: false,
    })
  }

  #catalogueIn({ key, value }: JournalEntry): Catalogue | undefined {
    return key.equals(CATALOGUE_KEY) ? decodeCatalogue(value, this.#plan.folder) : undefined
  }

  /** In the form in which changes are kept: of a load the last key. */
  #asTold(entry: JournalEntry): JournalEntry {
    if (entry.kind !== DELETE_RANGE || (entry.flags & REFERENCE) === 0) return entry
    return { ...entry, value: Buffer.from(this.#module.lastLoaded!(entry.value)) }
  }

  *#end(): Routine<void> {
    this.#closing = true
    yield* this.#journal.close()
    this.#store.closeSync()
  }
}

/** The key space of an entry. */
function spaceOf({ key }: JournalEntry): number {
  return readVarint(key, 0, key.length)
}

function encode(entries: readonly JournalEntry[]): Buffer {
  const parts: Buffer[] = []
  for (const { kind, flags, key, value, sequence, expiry } of entries) {
    const header = Buffer.alloc(entryHeaderLength(key.length, value.length, expiry))
    writeEntryHeader(header, 0, kind, flags, key.length, value.length, sequence, expiry)
    parts.push(header, key, value)
  }
  return Buffer.concat(parts)
}

/** The world without the lock of the store, in which nothing reaches the disk, and nobody is told what is found on the way. */
function besideWriter(environment: Environment): Environment {
  const files = Object.assign(overlayFiles(environment.files), {
    lock: () => immediate(() => NO_LOCK),
  })
  return { ...readOnlyEnvironment(environment), files, warn: () => {} }
}

/** An engine like that of the store, in memory. */
function* emptyEngine(
  module: EngineModule,
  plan: OpenPlan,
  { descriptor }: Identity,
): Routine<Engine> {
  const environment = nodeEnvironment(memoryFiles())
  const random = (length: number): Uint8Array => environment.random(length)
  yield* environment.files.makeFolder(MEMORY_FOLDER)
  const { checksum } = descriptor
  return yield* module.open({
    environment,
    folder: MEMORY_FOLDER,
    descriptor,
    form: storeForm({ checksum, compression: 'none', encryption: undefined }, random),
    options: engineOptions(plan, module, descriptor.options),
    cacheBytes: CACHE_BYTES,
    created: true,
  })
}

/** What is wrong then is wrong with what was read while others wrote. */
function* closeEngine(engine: Engine): Routine<void> {
  try {
    yield* engine.close()
  } catch {
    // Nothing of it is kept.
  }
}

/** Whether it may come from reading what is being written. */
function isRace(error: unknown): boolean {
  return error instanceof KvarkError && (error.code === 'CORRUPTION' || error.errno === 'ENOENT')
}
