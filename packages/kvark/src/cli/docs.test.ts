/**
 * Types every example of `docs/cli.md` into a shell and compares. In what the page shows, `…` stands for anything in a
 * line, and a line that is only `…` for any lines.
 */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { KVARK_BIN } from '../testing/command-line.ts'

const PAGE = fileURLToPath(new URL('../../../../docs/cli.md', import.meta.url))

interface Example {
  readonly command: string
  readonly shown: string
}

function examplesOf(page: string): Example[] {
  return [...page.matchAll(/```console\n(.*?)```/gs)].flatMap(([, block]) =>
    block!
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const end = text.indexOf('\n')
        return { command: text.slice(0, end), shown: text.slice(end + 1) }
      }),
  )
}

function pattern(shown: string): RegExp {
  const escaped = shown.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replace(/^…\n/gm, '(?:.*\\n)*').replaceAll('…', '.*')}$`)
}

test('the examples of docs/cli.md', { skip: process.platform === 'win32' }, () => {
  const examples = examplesOf(readFileSync(PAGE, 'utf8'))
  assert.ok(examples.length > 30)
  const folder = mkdtempSync(join(tmpdir(), 'kvark-docs-'))
  const end = '--- end of an example ---'
  const script = [
    `kvark() { "$NODE" "$KVARK" "$@"; }`,
    ...examples.map(({ command }) => `${command}\necho '${end}'`),
  ]
  const { stdout } = spawnSync('bash', ['-c', `exec 2>&1\n${script.join('\n')}`], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], NODE: process.execPath, KVARK: KVARK_BIN },
  })
  rmSync(folder, { recursive: true })
  const printed = stdout.split(`${end}\n`)
  for (const [i, { command, shown }] of examples.entries()) {
    assert.match(printed[i] ?? '', pattern(shown), `$ ${command}`)
  }
})
