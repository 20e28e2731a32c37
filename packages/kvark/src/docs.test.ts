/**
 * Keeps the documentation true: its JavaScript is run, and what it prints is compared with the comments behind
 * `console.log`; links lead somewhere; codes and limits are the ones of the code. `docs/cli.md` has its own test in `cli`.
 */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { LIMITS as BTREE_LIMITS } from './engines/btree/limits.ts'
import { LIMITS as LOG_LIMITS } from './engines/log/limits.ts'
import { type ErrorCode, type ErrorFields, type Limits, openSync } from './index.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const BTREE_README = 'packages/kvark/src/engines/btree/README.md'
const LOG_README = 'packages/kvark/src/engines/log/README.md'
const CHOOSING = 'docs/choosing-an-engine.md'
const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'docs/README.md',
  'docs/api.md',
  'docs/benchmarks.md',
  CHOOSING,
  'docs/cli.md',
  'docs/durability.md',
  'docs/collections.md',
  'docs/errors.md',
  'docs/observability.md',
  'docs/testing.md',
  ...readdirSync(join(root, 'docs/format')).map((name) => `docs/format/${name}`),
  'packages/kvark/README.md',
  'packages/keyv/README.md',
  'packages/level/README.md',
  'packages/metrics/README.md',
  'packages/unstorage/README.md',
  BTREE_README,
  LOG_README,
]

const CODES: Readonly<Record<ErrorCode, true>> = {
  INVALID_ARGUMENT: true,
  INVALID_KEY: true,
  INVALID_VALUE: true,
  DECODE: true,
  NOT_FOUND: true,
  CLOSED: true,
  LOCKED: true,
  CONFLICT: true,
  READ_ONLY: true,
  NO_SPACE: true,
  IO: true,
  CORRUPTION: true,
  COMPACTION_FAILED: true,
  BAD_ENCRYPTION_KEY: true,
  MISMATCH: true,
  UNSUPPORTED: true,
  VERSION: true,
}

const FIELDS: Readonly<Record<keyof ErrorFields, true>> = {
  path: true,
  offset: true,
  expected: true,
  found: true,
  pid: true,
  errno: true,
  outcome: true,
  retryable: true,
  engines: true,
  cause: true,
}

test('the first example of both READMEs is examples/quickstart.js', () => {
  const example = read('examples/quickstart.js')
  assert.equal(blocksOf('README.md')[0], example)
  assert.equal(blocksOf('packages/kvark/README.md')[0], example)
})

test('the examples of README.md, docs/api.md, docs/collections.md and docs/testing.md print what they say', () => {
  for (const page of ['README.md', 'docs/api.md', 'docs/collections.md', 'docs/testing.md']) {
    const program = blocksOf(page).join('\n')
    const said = [...program.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text!)
    assert.ok(said.length > 0, page)
    assert.deepEqual(
      inFolder((folder) => runProgram(folder, program))
        .trimEnd()
        .split('\n'),
      said,
      page,
    )
  }
})

test('the examples of docs/observability.md print what they say', () => {
  const program = blocksOf('docs/observability.md').join('\n')
  const said = [...program.matchAll(/^await .*\) \/\/ (.*)$/gm)].map(([, text]) => text!)
  const printed = inFolder((folder) => runProgram(folder, program))
    .trimEnd()
    .split('\n')
  assert.equal(said.length, 2)
  assert.deepEqual(printed, said)
})

test('docs/collections.md names all verbs of the collections', () => {
  const page = read('docs/collections.md')
  for (const name of ['queue', 'list', 'set', 'int-sets', 'counters']) {
    const source = read(`packages/kvark/src/store/collections/${name}.ts`)
    const [, verbs] =
      /^export interface (?:Queue|List|SetOf|IntSets|Counters)<[\w, ]+> {\n(.*?)^}$/ms.exec(source)!
    for (const [, verb] of verbs!.matchAll(/^ {2}(\w+)\(/gm)) {
      const promised = verb!.replace(/Sync$/, '')
      assert.match(page, new RegExp(`\`${promised}\\(`), `${name}.${verb}`)
    }
  }
})

test('docs/observability.md tells of every number and every channel', () => {
  const page = read('docs/observability.md')
  const db = openSync(':memory:')
  for (const name of Object.keys(db.stats())) assert.ok(page.includes(`\`${name}\``), name)
  db.closeSync()
  for (const [, name] of read('packages/kvark/src/engine/events.ts').matchAll(/'(kvark:\w+)':/g)) {
    assert.ok(page.includes(`| \`${name}\` |`), name)
  }
})

test('the shell example of README.md', { skip: process.platform === 'win32' }, () => {
  const [, shown] = /^```console\n(.*?)^```$/ms.exec(read('README.md'))!
  const lines = shown!.trimEnd().split('\n')
  const commands = lines.filter((line) => line.startsWith('$ ')).map((line) => line.slice(2))
  inFolder((folder) => {
    runProgram(folder, blocksOf('README.md').join('\n'))
    const kvark = join(root, 'packages/kvark/bin/kvark.js')
    const npx = `npx() { shift; '${process.execPath}' '${kvark}' "$@"; }`
    const printed = execute(folder, 'sh', ['-c', [npx, ...commands].join('\n')])
    const expected = lines.filter((line) => !line.startsWith('$ '))
    assert.deepEqual(printed.trimEnd().split('\n'), expected)
  })
})

test('docs/api.md names everything that the package exports', () => {
  const page = read('docs/api.md')
  const exported = [...read('packages/kvark/src/index.ts').matchAll(/export (?:type )?{([^}]*)}/g)]
    .flatMap(([, list]) => list!.split(','))
    .map((name) => name.replace('type ', '').trim())
    .filter((name) => name !== '')
  assert.ok(exported.includes('open') && exported.includes('AtomicStore'))
  const missing = exported.filter((name) => !new RegExp(`\\b${name}\\b`).test(page))
  assert.deepEqual(missing, [])
})

test('docs/errors.md has a section for each code', () => {
  const headings = headingsOf('docs/errors.md').filter((text) => /^[A-Z_]+$/.test(text))
  assert.deepEqual(headings, Object.keys(CODES))
})

test('docs/errors.md says which fields each code can have', () => {
  const page = read('docs/errors.md')
  const named = [...page.matchAll(/^\| (`[^|]*) \| /gm)].flatMap(([, cell]) => wordsOf(cell!))
  for (const field of Object.keys(FIELDS)) assert.ok(named.includes(field), field)
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (.*?) \|/gm)]
  assert.deepEqual(
    rows.map(([, code]) => code),
    Object.keys(CODES),
  )
  for (const [, code, cell] of rows) {
    for (const field of wordsOf(cell!)) assert.ok(field in FIELDS, `${code}: ${field}`)
  }
})

test('the tests that docs/durability.md names are there', () => {
  const names = wordsOf(read('docs/durability.md')).filter((word) => word.endsWith('.ts'))
  assert.ok(names.length > 20)
  for (const name of names) {
    assert.ok(existsSync(join(root, 'packages/kvark/src', name)), name)
  }
})

test('the limits on the pages are those of the code', () => {
  const ofEntries = ({ keyBytes, valueBytes }: Limits): number[] => [keyBytes, valueBytes]
  const all = (limits: Limits): number[] => Object.values(limits)
  const limitsOf: readonly (readonly [page: string, limits: readonly number[]])[] = [
    ['README.md', [...all(BTREE_LIMITS), ...all(LOG_LIMITS)]],
    [BTREE_README, all(BTREE_LIMITS)],
    [LOG_README, all(LOG_LIMITS)],
    [CHOOSING, [...ofEntries(BTREE_LIMITS), ...ofEntries(LOG_LIMITS)]],
    ['packages/kvark/README.md', ofEntries(BTREE_LIMITS)],
  ]
  for (const [page, limits] of limitsOf) {
    for (const limit of limits) {
      assert.ok(read(page).includes(limit.toLocaleString('en-US')), `${page}: ${limit}`)
    }
  }
})

test('links lead somewhere', () => {
  for (const page of PAGES) {
    for (const [, target] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue
      const [path, anchor] = target!.split('#') as [string, string?]
      const file = path === '' ? page : join(dirname(page), path)
      assert.ok(existsSync(resolve(root, file)), `${page}: ${target}`)
      if (anchor !== undefined) {
        assert.ok(headingsOf(file).map(anchorOf).includes(anchor), `${page}: ${target}`)
      }
    }
  }
})

function read(page: string): string {
  return readFileSync(join(root, page), 'utf8')
}

/** The blocks of JavaScript. */
function blocksOf(page: string): string[] {
  return [...read(page).matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block!)
}

/** What stands between backquotes. */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, word]) => word!)
}

function headingsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, text]) => text!)
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}

/** Gives `use` a folder where kvark is installed. */
function inFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-docs-'))
  try {
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(join(root, 'packages/kvark'), join(folder, 'node_modules/kvark'), 'junction')
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function runProgram(folder: string, program: string): string {
  writeFileSync(join(folder, 'program.mjs'), program)
  return execute(folder, process.execPath, ['program.mjs'])
}

/** What a command prints; it must succeed and say nothing on stderr. */
function execute(cwd: string, command: string, args: readonly string[]): string {
  const env = { PATH: process.env['PATH'] }
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env })
  assert.equal(stderr, '')
  assert.equal(status, 0)
  return stdout
}
