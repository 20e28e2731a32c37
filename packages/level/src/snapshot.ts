/** Explicit snapshots: the token that abstract-level hands around, and the view of the store behind it. */

import type { AbstractSnapshot } from 'abstract-level'
import type { EngineMap, OrderedReader, OrderedSnapshot } from 'kvark'
import { AbstractToken, type SnapshotRequest } from './abstract.ts'

/** Keys and values are bytes; their encodings are abstract-level's matter. */
export type ByteStore = EngineMap<Uint8Array, Uint8Array>['btree']['store']
export type ByteReader = OrderedReader<Uint8Array, Uint8Array>

export class LevelSnapshot extends AbstractToken {
  readonly #store: ByteStore
  readonly #view: OrderedSnapshot<Uint8Array, Uint8Array>

  constructor(store: ByteStore, options: SnapshotRequest) {
    // First: a snapshot that cannot be taken must not be left with its owner, which closes it.
    const view = store.snapshot()
    super(options)
    this.#store = store
    this.#view = view
  }

  /** The view of `snapshot`; `TypeError` for one of another database. */
  static viewOf(snapshot: AbstractSnapshot, store: ByteStore): ByteReader {
    if (!(snapshot instanceof LevelSnapshot) || snapshot.#store !== store) {
      throw new TypeError("The option 'snapshot' must be a snapshot of this database.")
    }
    return snapshot.#view
  }

  protected async _close(): Promise<void> {
    this.#view.close()
  }
}
