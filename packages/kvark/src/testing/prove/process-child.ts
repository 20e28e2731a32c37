/**
 * A process that does with a store what its parent says, a line of JSON each way:
 *
 *   node process-child.js <engine> <option set> <folder>
 *
 *   {"do":"open","lockTimeoutMs":0}  {"do":"put","key":"a","value":"1"}  {"do":"get","key":"a"}  {"do":"close"}
 *   {"do":"count","times":5}         opens, adds 1 to the entry `n` and closes, so many times
 *   {"do":"exit"}                    ends without closing
 *        └──► {"result":…}, or {"error":{"code":…,"pid":…,"message":…}}
 */

import { createInterface } from 'node:readline'
import { KvarkError } from '../../errors.ts'
import { type CrashStore, openSubject, subjectNamed } from '../crash/subjects.ts'

/** What a parent may ask for. */
export type Order =
  | { readonly do: 'open'; readonly lockTimeoutMs?: number; readonly readOnly?: boolean }
  | { readonly do: 'put'; readonly key: string; readonly value: string }
  | { readonly do: 'get'; readonly key: string }
  | { readonly do: 'count'; readonly times: number }
  | { readonly do: 'close' | 'exit' }

/** Longer than all others together have the store. */
const PATIENCE_MS = 60_000

const [engine, name, folder] = process.argv.slice(2) as [string, string, string]
const subject = subjectNamed(engine, name)
let db: CrashStore | undefined

async function open(options: object): Promise<CrashStore> {
  const asked = { ...subject, options: { ...subject.options, ...options } }
  return await openSubject(asked, folder).async()
}

async function carryOut(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'open': {
      const { do: _, ...options } = order
      db = await open(options)
      return undefined
    }
    case 'put':
      return await db!.put(order.key, order.value, { durability: 'os' })
    case 'get':
      return await db!.get(order.key)
    case 'count':
      for (let left = order.times; left > 0; left--) {
        const store = await open({ lockTimeoutMs: PATIENCE_MS })
        const before = Number((await store.get('n')) ?? '0')
        await store.put('n', String(before + 1), { durability: 'os' })
        await store.close()
      }
      return undefined
    case 'close':
      return await db!.close()
    case 'exit':
      return process.exit()
  }
}

// Ends with the parent, however that ends.
process.stdin.on('end', () => process.exit())
process.stdout.write('{"result":"ready"}\n')
for await (const line of createInterface({ input: process.stdin })) {
  let answer: object
  try {
    answer = { result: await carryOut(JSON.parse(line) as Order) }
  } catch (error) {
    const { code, pid, message } = error as KvarkError
    answer = { error: { code: error instanceof KvarkError ? code : 'none', pid, message } }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
