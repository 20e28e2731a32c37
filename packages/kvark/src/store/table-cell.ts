/**
 * An entry of a table that is changed by what it is (`update.ts`): read as it is now, written under the condition that it still is that.
 */

import { Effect, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { Durability } from '../storage/durability.ts'
import type { Entry, Expiry } from './call-types.ts'
import type { Core } from './core.ts'
import type { InternalCodec } from './internal-codec.ts'
import { lookup } from './lookup.ts'
import { toEntry } from './project.ts'
import type { Table } from './types.ts'
import type { Cell } from './update.ts'

export class TableCell<K, V> implements Cell<V> {
  readonly values: InternalCodec<V>
  readonly #table: Table<K, V>
  readonly #core: () => Core<K, V>
  readonly #key: K
  readonly #durability: Durability

  /** `core`: that of the table, at the moment. */
  constructor(table: Table<K, V>, core: () => Core<K, V>, key: K, durability: Durability) {
    this.values = core().values
    this.#table = table
    this.#core = core
    this.#key = key
    this.#durability = durability
  }

  *read(): Routine<Entry<V> | undefined> {
    const core = this.#core()
    const length = core.encodeKey(this.#key)
    const internal = Buffer.from(core.key.bytes.subarray(0, length))
    return yield* lookup<K, V, Entry<V>>(core, internal, undefined, toEntry)
  }

  wait<T>(promised: PromiseLike<T>): Promise<T> {
    return this.#core().life.whileOpen(promised)
  }

  *write(value: V | undefined, entry: Entry<V> | undefined, expiry: Expiry): Routine<boolean> {
    try {
      yield* this.#write(value, entry, expiry)
      return true
    } catch (error) {
      if (error instanceof KvarkError && error.code === 'CONFLICT') return false
      throw error
    }
  }

  #write(value: V | undefined, entry: Entry<V> | undefined, expiry: Expiry): Effect<number> {
    const table = this.#table
    const key = this.#key
    const condition = entry === undefined ? { ifAbsent: true } : { ifVersion: entry.version }
    const options = { ...condition, durability: this.#durability }
    if (value === undefined) {
      return new Effect(
        () => table.deleteSync(key, options),
        () => table.delete(key, options),
      )
    }
    const { ttl, expiresAt } = expiry
    const end = {
      ...(ttl !== undefined && { ttl }),
      ...(expiresAt !== undefined && { expiresAt }),
    }
    return new Effect(
      () => table.putSync(key, value, { ...options, ...end }),
      () => table.put(key, value, { ...options, ...end }),
    )
  }
}
