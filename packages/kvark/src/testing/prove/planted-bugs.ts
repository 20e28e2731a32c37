/**
 * The proof of the proof: each planted bug is built into a copy of the package, and its rows have to fail there.
 *
 *   src ─copy─► .planted/<number>/src ─one patch─► compiler ─► dist ─► its own `prove`, some rows of it ─► a failure, or it is missed
 */

import { spawn } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CrashSubject } from '../crash/subjects.ts'
import { treeBugs } from './btree/planted.ts'
import { logBugs } from './log/planted.ts'
import type { PlantedBug } from './planted.ts'
import type { Report } from './report.ts'
import type { Portion, Row, Tally } from './row.ts'

const PACKAGE = fileURLToPath(new URL('../../../', import.meta.url))
/** Much more than it takes to find any of them: other lanes work beside it. */
const MINUTES = 5
/** For the compiler. */
const SPARE_MINUTES = 2
/** How a copy fails that does not even run. */
const BROKEN = /SyntaxError|ReferenceError|ERR_MODULE_NOT_FOUND|the process ended with/

/** By engine. */
export const plantedBugs: Readonly<Record<string, readonly PlantedBug[] | undefined>> = {
  log: logBugs,
  btree: treeBugs,
}

export const plantedBugsRow: Row = {
  name: 'planted-bugs',
  what: 'one safety step taken out of the sources, and the rows above run on that',
  unit: 'planted bugs',
  rule: 'each is found',
  goal: 10,
  longestMs: (MINUTES + SPARE_MINUTES) * 60_000,
  portions: ([subject]) => bugsOf(subject!).length,
  run,
}

function bugsOf({ engine }: CrashSubject): readonly PlantedBug[] {
  const bugs = plantedBugs[engine]
  if (bugs === undefined) throw new Error(`no bugs are planted for the engine '${engine}'`)
  return bugs
}

async function run({ subject, seed }: Portion): Promise<Tally> {
  const bugs = bugsOf(subject)
  const number = (seed - 1) % bugs.length
  const bug = bugs[number]!
  const folder = join(PACKAGE, '.planted', `${subject.engine}-${number}`)
  try {
    plant(bug, folder)
    await compile(folder)
    const { rows } = await proveIn(folder, subject.engine, bug.rows)
    const found = rows.flatMap(({ failed }) => failed)
    if (found.length === 0) throw new Error(`not found: ${bug.name}`)
    const broken = found.find((message) => BROKEN.test(message))
    if (broken !== undefined) throw new Error(`${bug.name}: the copy does not run\n${broken}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return { done: 1, options: null }
}

function plant({ file, find, replace }: PlantedBug, folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  cpSync(join(PACKAGE, 'src'), join(folder, 'src'), { recursive: true })
  const path = join(folder, 'src', file)
  writeFileSync(
    path,
    readFileSync(path, 'utf8').replace(find, () => replace),
  )
  const config = {
    extends: join(PACKAGE, '../../tsconfig.base.json'),
    // What a patch leaves unused is no reason to stop.
    compilerOptions: {
      rootDir: 'src',
      outDir: 'dist',
      noUnusedLocals: false,
      noUnusedParameters: false,
    },
    include: ['src'],
    exclude: ['src/**/*.test.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
}

async function compile(folder: string): Promise<void> {
  const compiler = createRequire(import.meta.url).resolve('@typescript/native/package.json')
  await output([join(compiler, '../bin/tsc'), '-p', folder])
}

async function proveIn(folder: string, engine: string, rows: readonly string[]): Promise<Report> {
  const main = join(folder, 'dist/testing/prove/main.js')
  const chosen = rows.flatMap((row) => ['--row', row])
  const args = [
    '--json',
    '--quick-end',
    '--lanes',
    '1',
    '--minutes',
    String(MINUTES),
    '--engine',
    engine,
    ...chosen,
  ]
  return JSON.parse(await output(['--enable-source-maps', main, ...args], [0, 1])) as Report
}

/** What a script of Node writes. */
async function output(args: readonly string[], codes: readonly number[] = [0]): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code !== null && codes.includes(code)) resolve(said)
      else reject(new Error(`ended with ${signal ?? code}:\n${said}${errors}`))
    })
  })
}
