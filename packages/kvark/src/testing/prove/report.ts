/**
 * What a proof came to, for machines and for people: `docs/numbers/proof.json`, by tier, and the table in the README that is made of
 * it.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Progress } from './proof.ts'

/** One row with one engine. */
export interface ReportedRow {
  readonly row: string
  readonly engine: string
  readonly what: string
  readonly unit: string
  readonly rule: string
  readonly goal: number
  readonly done: number
  /** Time ended before the goal was reached. */
  readonly cutShort: boolean
  readonly failures: number
  /** What went wrong, for each failure. */
  readonly failed: readonly string[]
  readonly portions: number
  readonly cpuSeconds: number
  /** What else was counted. */
  readonly more: Readonly<Record<string, number>>
  /** What was done with each option set. */
  readonly optionSets: Readonly<Record<string, number>>
}

export interface Report {
  readonly tier: string
  readonly seed: number
  readonly date: string
  readonly commit: string
  readonly node: string
  readonly cores: number
  readonly wallSeconds: number
  readonly rows: readonly ReportedRow[]
}

export function reportedRow(progress: Progress): ReportedRow {
  const { row, engine, goal, done, portions, cpuMs, more, spread, failures } = progress
  return {
    row: row.name,
    engine,
    what: row.what,
    unit: row.unit,
    rule: row.rule,
    goal,
    done,
    cutShort: done < goal && failures.length === 0,
    failures: failures.length,
    failed: failures.map(({ task, message }) => `portion ${task.seed}: ${message}`),
    portions,
    cpuSeconds: Math.round(cpuMs / 100) / 10,
    more,
    optionSets: spread,
  }
}

type Reports = Readonly<Record<string, Report>>

/** Puts the report into the file beside those of other tiers, and its rows beside those of other engines. Returns what is there then. */
export function writeReport(path: string, report: Report): Report {
  let reports: Reports = {}
  try {
    reports = JSON.parse(readFileSync(path, 'utf8')) as Reports
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const engines = new Set(report.rows.map(({ engine }) => engine))
  const others = reports[report.tier]?.rows.filter(({ engine }) => !engines.has(engine)) ?? []
  const whole = { ...report, rows: [...others, ...report.rows] }
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify({ ...reports, [report.tier]: whole }, undefined, 2)}\n`)
  return whole
}

const BEGIN = '<!-- proof: made by `npm run prove`, not by hand -->'
const END = '<!-- /proof -->'

/** The text with the table of the report between its marks. */
export function withTable(text: string, report: Report): string {
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`the text has no place '${BEGIN}' … '${END}'`)
  return `${text.slice(0, begin + BEGIN.length)}\n\n${tableOf(report)}\n\n${text.slice(end)}`
}

/** Markdown. */
export function tableOf({ rows, date, node, cores, wallSeconds }: Report): string {
  const lines = rows.map((row) => {
    const sets = Object.values(row.optionSets).filter((count) => count > 0).length
    const cut = row.cutShort ? ` (cut short by time; the goal is ${count(row.goal)})` : ''
    return `| ${row.engine} | ${row.what} | ${count(row.done)} ${row.unit}${cut} | ${sets === 0 ? '–' : sets} | ${row.failures === 0 ? 'none' : row.failures} |`
  })
  return [
    '| engine | what was done | how often | option sets | failures |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
    '',
    `${date.slice(0, 10)}, Node ${node}, ${cores} cores, ${Math.ceil(wallSeconds / 60)} minutes.`,
  ].join('\n')
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}
