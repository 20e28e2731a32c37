/**
 * A fixed view of the store for the user: the verbs that read, of all tables, until it is closed.
 */

import { KvarkError } from '../errors.ts'
import type { Catalogue } from './catalogue.ts'
import type { Core } from './core.ts'
import type { Lease } from './life.ts'
import { StoreReader } from './reader.ts'
import { tableOf } from './table-argument.ts'
import type { OrderedReader, OrderedSnapshot, Table, TableInfo } from './types.ts'
import type { View } from './view.ts'

export class StoreSnapshot<K, V> extends StoreReader<K, V> implements OrderedSnapshot<K, V> {
  readonly version: number
  readonly #lease: Lease
  /** The tables of the moment. */
  readonly #catalogue: Catalogue
  #closed = false

  constructor(core: Core<K, V>, view: View) {
    super(core, view)
    this.version = view.at.sequence
    this.#catalogue = core.life.tables.catalogue
    this.#lease = { what: 'A snapshot', release: () => view.release() }
    core.life.addLease(this.#lease, this)
  }

  table<TK, TV>(table: Table<TK, TV>): OrderedReader<TK, TV> {
    this.checkUsable()
    const core = tableOf(this.life, table, 'A snapshot', this.#catalogue) as Core<TK, TV>
    return new SnapshotTable(core, this.view!, () => this.checkUsable())
  }

  tables(): TableInfo[] {
    this.checkUsable()
    return this.life.tables.list(this.#catalogue)
  }

  close(): void {
    this.#closed = true
    this.core.life.endLease(this.#lease)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  protected override checkUsable(): void {
    super.checkUsable()
    if (this.#closed) throw new KvarkError('CLOSED', 'The snapshot is closed. Take a new one.')
  }

  protected override encodeKey(core: Core<K, V>, key: K): number {
    this.checkUsable()
    return super.encodeKey(core, key)
  }
}

/** Another table of a snapshot, which holds the view. */
class SnapshotTable<K, V> extends StoreReader<K, V> {
  readonly #check: () => void

  constructor(core: Core<K, V>, view: View, check: () => void) {
    super(core, view)
    this.#check = check
  }

  protected override checkUsable(): void {
    this.#check()
  }

  protected override encodeKey(core: Core<K, V>, key: K): number {
    this.#check()
    return super.encodeKey(core, key)
  }
}
