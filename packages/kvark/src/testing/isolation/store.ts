/** A store as the histories use it: one with ranges, or one that walks everything. Tests put worse ones in its place. */

import { KvarkError } from '../../errors.ts'
import type { OrderedStore, OrderedTransaction } from '../../store/types.ts'

export interface IsolationTransaction {
  get(key: string): Promise<string | undefined>
  put(key: string, value: string): Promise<void>
  delete(key: string): Promise<void>
  /** Entries from `from` up to `to`, in any order. */
  scan(from: string, to: string): Promise<[string, string][]>
  /** Carries `act` out and takes back what it has written. */
  undone(act: () => Promise<void>): Promise<void>
}

export interface IsolationStore {
  transaction(fn: (tx: IsolationTransaction) => Promise<void>): Promise<void>
  /** Replaces the value of a key by what `change` makes of it. */
  update(key: string, change: (value: string | undefined) => string): Promise<void>
}

/** The code of an error of kvark's. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof KvarkError ? error.code : undefined
}

export function isolationStore(db: OrderedStore): IsolationStore {
  return {
    transaction: (fn) => db.transaction((tx) => fn(adapted(tx, db.supports.order))),
    async update(key, change) {
      await db.update(key, change)
    },
  }
}

function adapted(tx: OrderedTransaction<string, string>, order: boolean): IsolationTransaction {
  return {
    get: (key) => tx.get(key),
    put: (key, value) => tx.put(key, value),
    delete: (key) => tx.delete(key),
    async scan(from, to) {
      const found: [string, string][] = []
      for await (const entry of tx.entries(order ? { gte: from, lt: to } : {})) {
        if (entry[0] >= from && entry[0] < to) found.push(entry)
      }
      return found
    },
    async undone(act) {
      const savepoint = tx.savepoint()
      await act()
      savepoint.rollback()
    },
  }
}
