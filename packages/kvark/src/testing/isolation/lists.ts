/**
 * Clients that append to lists, and read them by key and by range; `check-lists.ts` judges what they saw.
 *
 *   list00007 = '3,12,40'          keys in use move on: a list that has grown long is left alone
 */

import type { SeededRandom } from '../../bytes/random.ts'
import { checkLists } from './check-lists.ts'
import type { Run } from './history.ts'
import { Scheduler } from './scheduler.ts'
import { codeOf, type IsolationStore, type IsolationTransaction } from './store.ts'

const KEYS = 6
/** A key is in use for so many appends to all of them. */
const APPENDS_A_KEY = 10
const MOST_STEPS = 4
/** How often a transaction gives up of itself, takes something back, walks instead of reading a key, and is only an `update`. */
const ABORT = 0.05
const UNDO = 0.1
const SCAN = 0.2
const UPDATE = 0.05

class GivenUp extends Error {}

/** Runs the clients; gives what is wrong with the history, and how many runs it has. */
export async function listHistory(
  store: IsolationStore,
  random: SeededRandom,
  clients: number,
  transactions: number,
): Promise<{ problems: string[]; runs: number }> {
  const history: Run[] = []
  const scheduler = new Scheduler(random)
  let appended = 0

  const begin = (client: number): Run => {
    const run: Run = { client, steps: [], committed: false }
    history.push(run)
    return run
  }
  const name = (key: number): string => `list${String(key).padStart(5, '0')}`
  const oldest = (): number => Math.floor(appended / APPENDS_A_KEY)
  const pick = (): string => name(oldest() + random.below(KEYS))

  const append = async (tx: IsolationTransaction, key: string, run: Run): Promise<void> => {
    const value = ++appended
    const text = await tx.get(key)
    run.steps.push({ read: key, list: parse(text) })
    if (random.chance(0.5)) await scheduler.turn()
    await tx.put(key, text === undefined ? String(value) : `${text},${value}`)
    run.steps.push({ append: key, value })
  }
  const step = async (tx: IsolationTransaction, run: Run): Promise<void> => {
    if (random.chance(SCAN)) {
      const first = oldest() + random.below(KEYS)
      const end = first + 1 + random.below(KEYS)
      const found = new Map(await tx.scan(name(first), name(end)))
      for (let key = first; key < end; key++) {
        run.steps.push({ read: name(key), list: parse(found.get(name(key))) })
      }
    } else if (random.chance(0.5)) {
      const key = pick()
      run.steps.push({ read: key, list: parse(await tx.get(key)) })
    } else if (random.chance(UNDO)) {
      await tx.undone(async () => {
        // What is read meanwhile may be the transaction's own, which is taken back: nobody tells of it.
        await append(tx, pick(), { client: run.client, steps: [], committed: false })
      })
    } else await append(tx, pick(), run)
  }
  const client = async (number: number): Promise<void> => {
    for (let i = 0; i < transactions; i++) {
      await scheduler.turn()
      if (random.chance(UPDATE)) {
        const key = pick()
        let run: Run | undefined
        await store.update(key, (text) => {
          const value = ++appended
          run = begin(number)
          run.steps.push({ read: key, list: parse(text) }, { append: key, value })
          return text === undefined ? String(value) : `${text},${value}`
        })
        run!.committed = true
        continue
      }
      const steps = 1 + random.below(MOST_STEPS)
      const gives = random.chance(ABORT)
      let run: Run | undefined
      try {
        await store.transaction(async (tx) => {
          run = begin(number)
          for (let n = 0; n < steps; n++) {
            await step(tx, run)
            await scheduler.turn()
          }
          if (gives) throw new GivenUp()
        })
        run!.committed = true
      } catch (error) {
        if (!(error instanceof GivenUp) && codeOf(error) !== 'CONFLICT') throw error
      }
    }
  }
  await scheduler.run(Array.from({ length: clients }, (_, i) => () => client(i)))
  const last = begin(clients)
  await store.transaction(async (tx) => {
    last.steps.length = 0
    for (const [key, text] of await tx.scan('list', 'lisu')) {
      last.steps.push({ read: key, list: parse(text) })
    }
  })
  last.committed = true
  return { problems: checkLists(history), runs: history.length }
}

function parse(text: string | undefined): number[] {
  return text === undefined ? [] : text.split(',').map(Number)
}
