/**
 * The proof on the command line.
 *
 *   npm run prove -- --help ─► USAGE
 *
 * Ends with 0 when every goal is reached and nothing failed, with 1 otherwise, with 2 where it does not understand its options; what
 * `--minutes` cuts short is no failure.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { optionSets } from '../crash/subjects.ts'
import { type Failure, fails, type Progress, prove, setsOf } from './proof.ts'
import { type Report, reportedRow, withTable, writeReport } from './report.ts'
import { portionOf, type Row } from './row.ts'
import { rows } from './rows.ts'
import { shortest } from './shrink.ts'
import { TIERS } from './tiers.ts'
import { carryOut, type Task } from './worker.ts'

const TELL_MS = 10_000
const SHRINK_MS = 60_000
const MOST_SHOWN = 500

const ROOT = new URL('../../../../../', import.meta.url)
const NUMBERS = fileURLToPath(new URL('docs/numbers/proof.json', ROOT))
const README = fileURLToPath(new URL('README.md', ROOT))

const USAGE = `npm run prove                                             all of it, for every engine: the tier nightly
npm run prove -- --tier quick|pr|nightly                  2 %, 10 %, all of the goals
npm run prove -- --engine log --row crash-states          some of it
npm run prove -- --seed 7 --minutes 5                     other portions; what is not reached by then is cut short
npm run prove -- --lanes 1                                so many processes; one for each core unless it is said
npm run prove -- --quick-end                              a row ends at its first failure, which is not looked into
npm run prove -- --json                                   the report on stdout as JSON
npm run prove -- --write                                  the report into docs/numbers/proof.json, as a whole nightly run does
npm run prove -- --row crash-states --engine log --portion 17 [--steps 0,4,9]      one portion again, as a failure tells

engines: ${Object.keys(optionSets).join(', ')}
rows: ${rows.map(({ name }) => name).join(', ')}`

const { values, engines, chosen, tier } = understood()
if (values.help) process.stdout.write(`${USAGE}\n`)
else process.exitCode = values.portion === undefined ? await proveAll() : await repeat()

/** What was asked for; where that is nothing that there is, the process ends. */
function understood() {
  try {
    const { values } = parseArgs({
      options: {
        tier: { type: 'string', default: 'nightly' },
        engine: { type: 'string', multiple: true },
        row: { type: 'string', multiple: true },
        seed: { type: 'string', default: '1' },
        minutes: { type: 'string' },
        lanes: { type: 'string' },
        portion: { type: 'string' },
        steps: { type: 'string' },
        json: { type: 'boolean', default: false },
        'quick-end': { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    for (const name of ['seed', 'minutes', 'lanes', 'portion'] as const) {
      const { [name]: text } = values
      if (text !== undefined && !(Number(text) > 0))
        throw new Error(`--${name} is a number above 0`)
    }
    const { [values.tier]: tier } = TIERS
    if (tier === undefined) throw new Error(`--tier is one of ${Object.keys(TIERS).join(', ')}`)
    const engines = values.engine ?? Object.keys(optionSets)
    for (const engine of engines) setsOf(engine)
    const chosen = values.row === undefined ? rows : values.row.map(rowNamed)
    if (values.portion !== undefined && (chosen.length > 1 || engines.length > 1)) {
      throw new Error('--portion goes with one --row and one --engine')
    }
    return { values, engines, chosen, tier }
  } catch (error) {
    say(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

async function proveAll(): Promise<number> {
  const begun = Date.now()
  const minutes = values.minutes === undefined ? tier.minutes : numberOf('minutes')
  let told = begun
  const states = await prove({
    rows: chosen,
    engines,
    share: tier.share,
    seed: numberOf('seed'),
    lanes: values.lanes === undefined ? availableParallelism() : numberOf('lanes'),
    ...(values['quick-end'] && { mostFailures: 1 }),
    deadline: begun + minutes * 60_000,
    onFailure({ task }) {
      say(`${task.row} FAILED: ${commandOf(task)}`)
    },
    onProgress(progress) {
      if (Date.now() - told < TELL_MS) return
      told = Date.now()
      say(`${((told - begun) / 60_000).toFixed(1)} min  ${progress.map(shortly).join(', ')}`)
    },
  })
  const report: Report = {
    tier: values.tier,
    seed: numberOf('seed'),
    date: new Date(begun).toISOString(),
    commit: commit(),
    node: process.version,
    cores: availableParallelism(),
    wallSeconds: Math.round((Date.now() - begun) / 1000),
    rows: states.map(reportedRow),
  }
  if (!values['quick-end']) {
    for (const { failures } of states) for (const failure of failures) await tell(failure)
  }
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${shown(report)}\n`)
  const whole = values.row === undefined
  const failed = states.some(({ failures }) => failures.length > 0)
  if (values.write || (values.tier === 'nightly' && whole && !failed)) write(report)
  const cut = report.rows.some(({ cutShort }) => cutShort)
  return failed || (cut && values.minutes === undefined) ? 1 : 0
}

/** One portion, here. */
async function repeat(): Promise<number> {
  const [row] = chosen
  const [engine] = engines
  if (row === undefined || engine === undefined) return 1
  const seed = numberOf('portion')
  const steps = values.steps?.split(',').map(Number)
  const task: Task = {
    row: row.name,
    engine,
    seed,
    set: seed % setsOf(engine).length,
    ...(steps && { steps }),
  }
  const outcome = await carryOut(task)
  if ('failure' in outcome) {
    process.stdout.write(`${outcome.failure}\n`)
    return 1
  }
  process.stdout.write(
    `${JSON.stringify(outcome.tally.more ?? {})}\n${outcome.tally.done} ${row.unit}, nothing failed\n`,
  )
  return 0
}

/** Tells of a failure, with the fewest steps that it needs. */
async function tell({ task, options, message }: Failure): Promise<void> {
  const command = commandOf(task)
  say(`\n${task.row} failed with ${task.engine} (${options}), portion ${task.seed}:\n${message}\n`)
  say(`The same again:\n  ${command}`)
  const subject = optionSets[task.engine as keyof typeof optionSets][task.set]!
  const steps = rowNamed(task.row).stepsOf?.(portionOf(subject, task.seed))
  if (steps === undefined) return
  const deadline = Date.now() + SHRINK_MS
  const found = await shortest(steps, async (fewer) => {
    return Date.now() < deadline && (await fails({ ...task, steps: fewer }))
  })
  if (found.length === steps.length) return
  // Where the end came before it was short, nobody would want to read it.
  const shown =
    found.length > MOST_SHOWN ? 'too many to be shown' : `${command} --steps ${found.join(',')}`
  say(`With ${found.length} of its ${steps.length} steps:\n  ${shown}`)
}

function commandOf({ row, engine, seed }: Task): string {
  return `npm run prove -- --row ${row} --engine ${engine} --portion ${seed}`
}

function write(report: Report): void {
  const written = writeReport(NUMBERS, report)
  if (report.tier === 'nightly') {
    writeFileSync(README, withTable(readFileSync(README, 'utf8'), written))
  }
  say(`written to docs/numbers/proof.json`)
}

function shown({ rows: all, wallSeconds }: Report): string {
  const lines = all.map((row) => {
    const state = row.failures > 0 ? `${row.failures} FAILURES` : row.cutShort ? 'CUT SHORT' : 'ok'
    const sets = Object.values(row.optionSets).filter((count) => count > 0).length
    const more = Object.entries(row.more).map(([name, count]) => `${count} ${name}`)
    const extra = more.length === 0 ? '' : `; ${more.join(', ')}`
    return `${row.row.padEnd(18)} ${row.engine.padEnd(6)} ${String(row.done).padStart(9)} of ${row.goal} ${row.unit}  ${state}  (${sets} option sets, ${row.cpuSeconds} s of a core${extra})`
  })
  return [...lines, `${wallSeconds} s`].join('\n')
}

function shortly({ row, goal, done, failures }: Progress): string {
  const failed = failures.length === 0 ? '' : `, ${failures.length} FAILED`
  return `${row.name} ${Math.min(100, Math.floor((100 * done) / goal))} %${failed}`
}

function rowNamed(name: string): Row {
  const row = rows.find((one) => one.name === name)
  if (row !== undefined) return row
  throw new Error(`there is no row '${name}'; there are ${rows.map((one) => one.name).join(', ')}`)
}

function numberOf(name: 'seed' | 'minutes' | 'lanes' | 'portion'): number {
  return Number(values[name])
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      encoding: 'utf8',
      cwd: fileURLToPath(ROOT),
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
