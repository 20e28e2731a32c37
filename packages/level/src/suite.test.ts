/**
 * abstract-level's own suite passes, unmodified, with all features declared, within the descriptors that a process usually has.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { SuiteReport } from './testing/suite-main.ts'

const main = fileURLToPath(new URL('testing/suite-main.js', import.meta.url))

/** What the suite of abstract-level 3.1.1 has where every feature is declared; fewer would be features that are not. */
const ASSERTIONS = 5168
/** What most systems give a process. */
const DESCRIPTORS = 1024
/** A third of what the databases that the suite leaves open would take with a cache of 1 MiB each. */
const MOST_MEMORY_BYTES = 512 * 1024 * 1024

test("abstract-level's suite", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-level-'))
  try {
    const report = join(folder, 'report.json')
    // `--no-warnings`: each database that the suite forgets is one.
    const node = [process.execPath, '--no-warnings', main, folder, report]
    const limited = ['bash', '-c', `ulimit -n ${DESCRIPTORS} && exec "$@"`, 'bash', ...node]
    const [command, ...args] = process.platform === 'win32' ? node : limited
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    })
    const tap = await text(child.stdout)
    const code = await ended
    const failed = tap.split(/^(?=ok |not ok |# )/m).filter((part) => part.startsWith('not ok'))
    assert.equal(failed.join('\n'), '')
    assert.equal(/^# tests (\d+)$/m.exec(tap)?.[1], String(ASSERTIONS))
    assert.equal(/^# pass +(\d+)$/m.exec(tap)?.[1], String(ASSERTIONS))
    assert.equal(code, 0)

    const { databases, open, descriptors, memoryBytes } = JSON.parse(
      readFileSync(report, 'utf8'),
    ) as SuiteReport
    t.diagnostic(
      `${ASSERTIONS} assertions; ${databases} databases, ${open} of them open at the end; up to ${descriptors} descriptors and ${Math.round(memoryBytes / 2 ** 20)} MiB`,
    )
    assert.ok(memoryBytes < MOST_MEMORY_BYTES, `${memoryBytes} bytes of memory`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
