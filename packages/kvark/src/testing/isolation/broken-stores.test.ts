/** The histories are worth something only if they find what is wrong: here are stores that leave something out. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { bankHistory } from './bank.ts'
import { listHistory } from './lists.ts'
import type { IsolationStore, IsolationTransaction } from './store.ts'

const CLIENTS = 4
const TRANSACTIONS = 60

/** What the store does when a transaction has ended: whether it may be carried out. */
type Judge = (begun: number, reads: readonly ((key: string) => boolean)[]) => boolean

interface Wrongs {
  /** Reads are of the newest state, not of the beginning. */
  readonly newest?: boolean
  /** Writes are visible at once, and stay when the transaction fails. */
  readonly dirty?: boolean
  /** Keys that were read are not looked after. */
  readonly keys?: boolean
  /** Neither are ranges: only the keys that were found in them. */
  readonly ranges?: boolean
  /** `update` reads, and writes in the next turn. */
  readonly updates?: boolean
}

/** A store in a map that does it right, but for what is named. */
function storeWith(wrong: Wrongs): IsolationStore {
  let now: ReadonlyMap<string, string> = new Map()
  const written: string[] = []
  const write = (key: string, value: string | undefined): void => {
    const next = new Map(now)
    if (value === undefined) next.delete(key)
    else next.set(key, value)
    now = next
    written.push(key)
  }
  const holds: Judge = (begun, reads) =>
    !written.slice(begun).some((key) => reads.some((one) => one(key)))

  const attempt = async (fn: (tx: IsolationTransaction) => Promise<void>): Promise<boolean> => {
    const begin = now
    const begun = written.length
    let pending = new Map<string, string | undefined>()
    const reads: ((key: string) => boolean)[] = []
    const base = (): ReadonlyMap<string, string> => (wrong.newest || wrong.dirty ? now : begin)
    const tx: IsolationTransaction = {
      async get(key) {
        if (pending.has(key)) return pending.get(key)
        if (!wrong.keys) reads.push((one) => one === key)
        return base().get(key)
      },
      async put(key, value) {
        if (wrong.dirty) write(key, value)
        else pending.set(key, value)
      },
      async delete(key) {
        if (wrong.dirty) write(key, undefined)
        else pending.set(key, undefined)
      },
      async scan(from, to) {
        const all = new Map(base())
        for (const [key, value] of pending) {
          if (value === undefined) all.delete(key)
          else all.set(key, value)
        }
        const found = [...all].filter(([key]) => key >= from && key < to)
        if (wrong.ranges) for (const [key] of found) reads.push((one) => one === key)
        else reads.push((key) => key >= from && key < to)
        return found
      },
      async undone(act) {
        const before = new Map(pending)
        await act()
        pending = before
      },
    }
    await fn(tx)
    if (pending.size === 0) return true
    if (!wrong.dirty && !holds(begun, reads)) return false
    for (const [key, value] of pending) write(key, value)
    return true
  }
  return {
    async transaction(fn) {
      while (!(await attempt(fn)));
    },
    async update(key, change) {
      const value = change(now.get(key))
      if (wrong.updates) for (let i = 0; i < 300; i++) await Promise.resolve()
      write(key, value)
    },
  }
}

async function problemsOf(wrong: Wrongs): Promise<string> {
  const all: string[] = []
  for (let seed = 1; seed <= 2; seed++) {
    for (const history of [listHistory, bankHistory]) {
      const random = new SeededRandom(seed)
      const { problems } = await history(storeWith(wrong), random, CLIENTS, TRANSACTIONS)
      all.push(...problems)
    }
  }
  return all.join('\n')
}

test('a store that does it right is found right', async () => {
  assert.equal(await problemsOf({}), '')
})

test('reads that are not looked after are found', async () => {
  assert.match(await problemsOf({ keys: true }), /G-single|G2|incompatible orders|found \d+, not/)
})

test('phantoms are found', async () => {
  assert.match(await problemsOf({ ranges: true }), /G2|G-single/)
})

test('reads of several moments are found', async () => {
  assert.match(await problemsOf({ newest: true }), /found \d+, not/)
})

test('dirty reads are found', async () => {
  assert.match(await problemsOf({ dirty: true }), /aborted read|intermediate read/)
})

test('lost updates of single keys are found', async () => {
  assert.match(await problemsOf({ updates: true }), /incompatible orders|lost|G-single/)
})
