/**
 * A fixed view of the store for the user: the verbs that read, until it is closed.
 */

import { KvarkError } from '../errors.ts'
import type { Core } from './core.ts'
import type { Lease } from './life.ts'
import { StoreReader } from './reader.ts'
import type { OrderedSnapshot } from './types.ts'
import type { View } from './view.ts'

export class StoreSnapshot<K, V> extends StoreReader<K, V> implements OrderedSnapshot<K, V> {
  readonly version: number
  readonly #lease: Lease
  #closed = false

  constructor(core: Core<K, V>, view: View) {
    super(core, view)
    this.version = view.at.sequence
    this.#lease = { what: 'A snapshot', release: () => view.release() }
    core.life.addLease(this.#lease, this)
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

  protected override encodeKey(key: K): number {
    this.checkUsable()
    return super.encodeKey(key)
  }
}
