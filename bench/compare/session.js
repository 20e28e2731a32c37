// @ts-check
// All rows of one data set. Every subject has a process of its own, which keeps its store; in each round each of them
// does the row once, while the others wait. So whatever the machine does besides hits all of them alike.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { remove } from '../common.js'
import { SubjectProcess } from './process.js'
import { formName } from './subjects.js'

/** @typedef {import('./rows.js').Row} Row */
/** @typedef {import('./subjects.js').Subject} Subject */

/**
 * @typedef {object} Settings
 * @property {number} entries
 * @property {number} budgetMs
 * @property {number} mostRounds
 * @property {boolean} quick warm up with all of each row: there is little of it
 * @property {string} folder
 * @property {(text: string) => void} say
 */

/**
 * @typedef {object} Sampled
 * @property {Row} row
 * @property {Record<string, number[]>} samples by subject
 * @property {Record<string, number[]>} bounds
 */

/** Measures the bounds; it keeps no store. */
const MACHINE = /** @type {const} */ ({
  name: 'machine',
  kind: 'reference',
  adapter: 'map-log',
  options: {},
})

export class Session {
  /**
   * @param {import('./data-sets.js').DataSet} data
   * @param {readonly Subject[]} subjects
   * @param {Settings} settings
   */
  constructor(data, subjects, settings) {
    this.data = data
    this.subjects = subjects.filter(({ kind }) => kind !== 'form')
    this.settings = settings
    /** @type {Map<string, SubjectProcess>} those that have not failed */
    this.processes = new Map()
    /** @type {{ subject: string, message: string }[]} */
    this.failures = []
    /** @type {Record<string, Record<string, string>>} what each durability is called, by subject */
    this.durabilities = {}
  }

  /**
   * @param {readonly Row[]} rows
   * @returns {Promise<Sampled[]>}
   */
  async run(rows) {
    for (const subject of [...this.subjects, MACHINE]) {
      await this.attempt(subject, 'beginning', async () => {
        const { child, durabilities } = await this.begin(subject)
        this.processes.set(subject.name, child)
        this.durabilities[subject.name] = durabilities
      })
    }
    delete this.durabilities[MACHINE.name]
    const sampled = []
    for (const row of rows) sampled.push(await this.measure(row))
    for (const subject of this.subjects) {
      this.settings.say(`checking all entries of ${subject.name}`)
      await this.attempt(subject, 'checking', () =>
        this.processes.get(subject.name)?.ask('checkAll'),
      )
    }
    for (const child of this.processes.values()) await child.stop()
    for (const subject of this.subjects) remove(this.folderOf(subject))
    return sampled
  }

  /** @param {Row} row */
  async measure(row) {
    const { settings } = this
    /** @type {Sampled} */
    const result = { row, samples: {}, bounds: {} }
    const subjects = this.subjects.filter(({ kind }) => row.variants || kind !== 'variant')
    if (row.store !== 'fresh') await this.load(subjects)
    const rounds = Math.min(row.rounds ?? 3, settings.mostRounds)
    const part = row.warmUp ?? 1
    const warmUp = settings.quick && part > 0 ? 1 : part
    for (let round = warmUp > 0 ? 0 : 1; round <= rounds; round++) {
      settings.say(`${row.name}: ${round === 0 ? 'warming up' : `round ${round} of ${rounds}`}`)
      const share = round === 0 ? warmUp : 1
      for (const subject of rotated(subjects, round)) {
        await this.attempt(subject, row.name, async () => {
          const value = await this.once(subject, row, { name: row.name, seed: round + 1, share })
          if (round === 0 || value === undefined) return
          const { plain, ...forms } = typeof value === 'number' ? { plain: value } : value
          add(result.samples, subject.name, plain)
          for (const [name, time] of Object.entries(forms)) {
            add(result.samples, formName(subject.name, name), time)
          }
        })
      }
      for (const name of row.bounds ?? []) {
        await this.attempt(MACHINE, name, async () => {
          const value = await this.processes.get(MACHINE.name)?.ask('bound', name)
          if (round > 0 && value !== undefined) add(result.bounds, name, value)
        })
      }
    }
    return result
  }

  /**
   * @param {Subject} subject
   * @param {Row} row
   * @param {{ name: string, seed: number, share: number }} args
   * @returns {Promise<import('./rows.js').Measured>}
   */
  async once(subject, row, args) {
    const child = this.processes.get(subject.name)
    if (child === undefined) return undefined
    // What others have written must not be in the way of those who wait for the disk.
    if (row.durability === 'disk') spawnSync('sync')
    if (row.store !== 'alone') return child.ask('measure', args)
    await child.ask('close')
    const alone = await this.begin(subject)
    try {
      const value = await alone.child.ask('measure', args)
      await alone.child.stop()
      return value
    } finally {
      alone.child.kill()
    }
  }

  /**
   * Loads the stores that are not loaded yet.
   *
   * @param {readonly Subject[]} subjects
   */
  async load(subjects) {
    for (const subject of subjects) {
      await this.attempt(subject, 'loading', () => this.processes.get(subject.name)?.ask('load'))
    }
  }

  /** @param {Subject} subject */
  async begin(subject) {
    const child = new SubjectProcess()
    const durabilities = await child.ask('begin', {
      subject,
      data: this.data,
      entries: Math.ceil(this.settings.entries * this.data.share),
      folder: this.folderOf(subject),
      budgetMs: this.settings.budgetMs,
    })
    return { child, durabilities }
  }

  /** @param {Subject} subject */
  folderOf(subject) {
    return join(this.settings.folder, subject.name)
  }

  /**
   * Carries on without a subject that fails.
   *
   * @param {Subject} subject
   * @param {string} what
   * @param {() => unknown} act
   */
  async attempt(subject, what, act) {
    try {
      await act()
    } catch (error) {
      const message = `${what}: ${/** @type {Error} */ (error).message}`
      this.settings.say(`${subject.name} failed at ${message}`)
      this.failures.push({ subject: subject.name, message })
      this.processes.get(subject.name)?.kill()
      this.processes.delete(subject.name)
    }
  }

  /** Ends everything at once. */
  abort() {
    for (const child of this.processes.values()) child.kill()
  }
}

/**
 * @template T
 * @param {readonly T[]} list
 * @param {number} by
 */
function rotated(list, by) {
  const at = by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

/**
 * @param {Record<string, number[]>} lists
 * @param {string} name
 * @param {number} value
 */
function add(lists, name, value) {
  lists[name] ??= []
  lists[name].push(value)
}
