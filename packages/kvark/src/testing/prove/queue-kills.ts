/**
 * Row: a process with a queue and four consumers that die (`queue-use.ts`), in a real folder, that is killed. What each leaves is opened, looked
 * at and used, and the next one goes on with it. What a child gets done before it is killed is up to the machine.
 */

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SeededRandom } from '../../bytes/random.ts'
import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import { type CrashSubject, openSubject } from '../crash/subjects.ts'
import { checkLeft, checkRest, type Fact } from './queue-use.ts'
import type { Portion, Row, Tally } from './row.ts'

const CHILD = fileURLToPath(new URL('queue-child.js', import.meta.url))
/** In one folder, one after the other. */
const KILLS = 4
/** How long a child lives once it has begun to use the queue. */
const LONGEST_MS = 300
/** Items of one child are apart from those of the next. */
const APART = 1_000_000

export const queueKills: Row = {
  name: 'queue-kills',
  what: 'processes with a queue and four consumers, killed with SIGKILL at random moments',
  unit: 'kills',
  rule: 'as queue-crashes, for what was acknowledged at os or disk',
  goal: 40,
  run: (portion) => killQueues(portion, engines),
}

export async function killQueues(
  { subject, seed }: Portion,
  modules: Readonly<Record<string, EngineModule>>,
): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-queue-'))
  const random = new SeededRandom(seed)
  const facts: Fact[] = []
  let rest: number[] = []
  try {
    for (let kill = 1; kill <= KILLS; kill++) {
      const child = `${seed * 100 + kill}`
      facts.push(...(await killOne(subject, folder, child, kill * APART, random.below(LONGEST_MS))))
      const db = await openSubject(subject, join(folder, 'store'), undefined, modules).async()
      const added = (kill + 1) * APART - 1
      rest = await checkLeft(db, facts, added)
      await db.close()
      // What is there now is there for good, and what is not is gone.
      facts.length = 0
      for (const item of rest) facts.push(['pushing', item], ['pushed', item])
    }
    const db = await openSubject(subject, join(folder, 'store'), undefined, modules).async()
    await checkRest(db, rest)
    await db.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return { done: KILLS }
}

/** What a child has told that was killed so many ms after it had opened the store. */
async function killOne(
  { engine, name }: CrashSubject,
  folder: string,
  seed: string,
  first: number,
  after: number,
): Promise<Fact[]> {
  const file = join(folder, 'told')
  rmSync(file, { force: true })
  const args = [CHILD, engine, name, join(folder, 'store'), file, seed, String(first)]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve()
      else reject(new Error(`the child ended by itself (${code ?? signal}):\n${errors}`))
    })
  })
  const opened = new Promise((resolve) => {
    child.stdout.once('data', resolve)
  })
  await Promise.race([opened, ended])
  await setTimeout(after)
  child.kill('SIGKILL')
  await ended
  const told = existsSync(file) ? readFileSync(file, 'latin1') : ''
  // The last line may be cut off.
  const lines = told.split('\n').slice(0, -1)
  return lines.map((line) => {
    const [what, item] = line.split(' ') as [Fact[0], string]
    return [what, Number(item)] as const
  })
}
