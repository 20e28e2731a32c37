/**
 * Clients that move money between accounts: whoever adds up all of them, by key or by walking over them, finds what there was at the
 * beginning, in every run, also in one that is overtaken. An empty account is no entry, so that walks meet entries that come and go.
 */

import type { SeededRandom } from '../../bytes/random.ts'
import { Scheduler } from './scheduler.ts'
import { codeOf, type IsolationStore, type IsolationTransaction } from './store.ts'

const ACCOUNTS = 10
const BALANCE = 20
/** How often a transaction adds up, and then also writes what it found. */
const AUDIT = 0.3
const NOTE = 0.3

/** Runs the clients; gives what is wrong, and how many runs there were. */
export async function bankHistory(
  store: IsolationStore,
  random: SeededRandom,
  clients: number,
  transactions: number,
): Promise<{ problems: string[]; runs: number }> {
  const problems: string[] = []
  const scheduler = new Scheduler(random)
  let runs = 0
  const name = (account: number): string => `account${account}`

  const total = async (tx: IsolationTransaction): Promise<number> => {
    if (random.chance(0.5)) {
      const found = await tx.scan('account', 'accounu')
      return found.reduce((sum, [, text]) => sum + Number(text), 0)
    }
    let sum = 0
    for (let i = 0; i < ACCOUNTS; i++) {
      sum += Number((await tx.get(name(i))) ?? 0)
      if (random.chance(0.2)) await scheduler.turn()
    }
    return sum
  }
  const audit = async (tx: IsolationTransaction, who: string): Promise<void> => {
    const sum = await total(tx)
    if (sum !== ACCOUNTS * BALANCE) problems.push(`${who} found ${sum}, not ${ACCOUNTS * BALANCE}`)
    if (random.chance(NOTE)) await tx.put('sum', String(sum))
  }
  const set = (tx: IsolationTransaction, account: number, balance: number): Promise<void> =>
    balance === 0 ? tx.delete(name(account)) : tx.put(name(account), String(balance))
  const move = async (tx: IsolationTransaction): Promise<void> => {
    const [from, to] = [random.below(ACCOUNTS), random.below(ACCOUNTS)]
    if (from === to) return
    const here = Number((await tx.get(name(from))) ?? 0)
    await scheduler.turn()
    const there = Number((await tx.get(name(to))) ?? 0)
    const amount = random.below(here + 1)
    await set(tx, from, here - amount)
    await scheduler.turn()
    await set(tx, to, there + amount)
  }
  const client = async (number: number): Promise<void> => {
    for (let i = 0; i < transactions; i++) {
      await scheduler.turn()
      const audits = random.chance(AUDIT)
      try {
        await store.transaction(async (tx) => {
          runs++
          await (audits ? audit(tx, `client ${number}, transaction ${i}`) : move(tx))
        })
      } catch (error) {
        if (codeOf(error) !== 'CONFLICT') throw error
      }
    }
  }
  await store.transaction(async (tx) => {
    for (let i = 0; i < ACCOUNTS; i++) await set(tx, i, BALANCE)
  })
  await scheduler.run(Array.from({ length: clients }, (_, i) => () => client(i)))
  await store.transaction((tx) => audit(tx, 'the end'))
  return { problems, runs }
}
