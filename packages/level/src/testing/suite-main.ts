/**
 * abstract-level's own test suite, as it is, on databases in a folder: TAP to the output, what they took to a file.
 *
 *   node suite-main.js <folder> <report>
 *
 * The suite leaves some hundreds of databases open that it has forgotten. What becomes of them is a part of the test.
 */

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Level } from '../level.ts'
import type { DatabaseOptions } from '../options.ts'

/** What the suite took. */
export interface SuiteReport {
  readonly databases: number
  /** Databases that were neither closed by the suite nor collected by its end. */
  readonly open: number
  /** The most descriptors seen open; 0 where they cannot be seen. */
  readonly descriptors: number
  /** The most memory resident, bytes. */
  readonly memoryBytes: number
}

interface Tape {
  onFinish(callback: () => void): void
}

type Suite = (options: {
  test: Tape
  factory(options?: DatabaseOptions<string, string>): Level
}) => void

const SAMPLE_MS = 5
const DESCRIPTORS = '/proc/self/fd'

const [folder, report] = process.argv.slice(2) as [string, string]
// Neither has types.
const require = createRequire(import.meta.url)
const test = require('tape') as Tape
const suite = require('abstract-level/test') as Suite

const databases: WeakRef<Level>[] = []
let descriptors = 0

if (existsSync(DESCRIPTORS)) {
  setInterval(() => {
    descriptors = Math.max(descriptors, readdirSync(DESCRIPTORS).length)
  }, SAMPLE_MS).unref()
}

suite({
  test,
  factory(options) {
    const database = new Level(join(folder, String(databases.length)), options)
    databases.push(new WeakRef(database))
    return database
  },
})

test.onFinish(() => {
  const took: SuiteReport = {
    databases: databases.length,
    open: databases.filter((one) => one.deref()?.status === 'open').length,
    descriptors,
    memoryBytes: process.resourceUsage().maxRSS * 1024,
  }
  writeFileSync(report, JSON.stringify(took))
})
