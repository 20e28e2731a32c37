/** Keeps the README true: its example is run, and what it prints is compared with the comments; its limits are those of the code. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Level } from './index.ts'

const home = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(home, 'README.md'), 'utf8')

test('the example of the README prints what it says', () => {
  const [, program] = /^```js\n(.*?)^```$/ms.exec(readme)!
  const said = [...program!.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text!)
  const folder = mkdtempSync(join(tmpdir(), 'kvark-level-readme-'))
  try {
    mkdirSync(join(folder, 'node_modules/@kvark'), { recursive: true })
    symlinkSync(home, join(folder, 'node_modules/@kvark/level'), 'junction')
    writeFileSync(join(folder, 'program.mjs'), program!)
    const { stdout, stderr } = spawnSync(process.execPath, ['program.mjs'], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    })
    assert.equal(stderr, '')
    assert.deepEqual(stdout.trimEnd().split('\n'), said)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the limits of the README are those of the code', async () => {
  const db = new Level(':memory:')
  await db.open()
  const { keyBytes, batchBytes, batchOperations } = db.store.limits
  await db.close()
  for (const limit of [keyBytes, batchBytes, batchOperations]) {
    assert.ok(readme.includes(limit.toLocaleString('en-US')), String(limit))
  }
})
