/**
 * Reads the import graph of the sources and refuses what the design forbids: imports point down only, and files, time,
 * randomness and threads come in through one door each. To add a folder, a library or an exception, change the tables.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { posix, sep } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** What a user imports, and the command line. */
const PUBLIC: readonly string[] = ['index.ts', 'collections.ts']

/** From the bottom up. A part imports from parts below its own layer, and from itself; `engines/*` is one part each. */
const layers: readonly (readonly string[])[] = [
  ['errors.ts'],
  ['bytes'],
  ['automata'],
  ['transducer'],
  ['environment', 'vfs'],
  ['storage'],
  ['engine'],
  ['engines/*'],
  ['engines.ts'],
  ['worker.ts'],
  ['store'],
  PUBLIC,
  ['cli'],
  ['testing'],
]

/** Two parts of one layer that know each other's interfaces: types always, at run time only the files named. */
const neighbours: readonly { from: string; to: string; atRunTime: readonly string[] }[] = [
  {
    from: 'vfs',
    to: 'environment',
    atRunTime: ['environment/routine.ts', 'environment/delay.ts'],
  },
  {
    from: 'environment',
    to: 'vfs',
    atRunTime: ['vfs/node.ts', 'vfs/memory.ts', 'vfs/simulated.ts'],
  },
]

/** Parts that may import from several engines; the types of their options everybody above them may. */
const knowsSeveralEngines = ['engines.ts', 'worker.ts', 'testing']

/** Where a module of Node may be imported: parts, or files by the start of their path. Others may be used anywhere. */
const doors: Readonly<Record<string, readonly string[]>> = {
  'node:fs': ['vfs/node', 'cli', 'testing'],
  'node:crypto': [
    'storage',
    'environment',
    'testing/format-reader.ts',
    'testing/format-tree.ts',
    'testing/golden.ts',
    'testing/rollbacks.ts',
  ],
  'node:diagnostics_channel': ['engine'],
  'node:worker_threads': ['bytes/byte-pool.ts', 'environment', 'worker.ts'],
  'node:timers': ['environment', 'cli', 'testing'],
  'node:perf_hooks': ['environment', 'cli', 'testing'],
}

/** The package's dependencies, its optional peers, and the parts that may import them. */
const libraries: Readonly<Record<string, readonly string[]>> = {
  '@bomb.sh/tab': ['cli'],
  'cli-progress': ['cli'],
  'cli-table3': ['cli'],
  commander: ['cli'],
  'lz4-wasm-nodejs': ['storage'],
  '@msgpack/msgpack': ['store', 'cli'],
  cbor2: ['store', 'cli'],
}

/** What would make a run depend on more than its seed, and the parts where it may stand. */
const nondeterminism = [
  /\bDate\.now\s*\(/,
  /\bnew Date\s*\(\s*\)/,
  /\bMath\.random\s*\(/,
  /\bperformance\.now\s*\(/,
  /\bprocess\.hrtime\b/,
  /\bcrypto\.(?:getRandomValues|randomUUID)\s*\(/,
  /(?<![\w$.]|function )(?:globalThis\.)?set(?:Timeout|Interval|Immediate)\s*\(/,
]
const nondeterministicParts = ['environment', 'cli', 'testing']

interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

/** What is wrong with one source file, a sentence each; `file` is its path below `src`, with forward slashes. */
function check(file: string, source: string): string[] {
  const problems: string[] = []
  const report = (what: string, rule: string): unknown => problems.push(`${file}: ${what}: ${rule}`)

  const isTest = file.endsWith('.test.ts')
  const from = partOf(file)
  const level = levelOf(from)
  // A test at the root is about the whole.
  const isTopTest = isTest && !file.includes('/')
  if (level === -1 && !isTopTest) {
    report(`"${from}"`, 'has no layer; give it one in architecture.test.ts')
    return problems
  }

  const enginesSeen = new Set<string>()
  for (const { specifier, typeOnly } of importsOf(source)) {
    const what = `import of "${specifier}"`
    if (specifier.startsWith('.')) checkOwn(specifier, typeOnly, what)
    else if (isBuiltin(specifier)) checkBuiltin(specifier, what)
    else checkLibrary(specifier, what)
  }
  if (enginesSeen.size > 1 && !isTopTest && !knowsSeveralEngines.includes(from)) {
    report(
      `imports of ${[...enginesSeen].join(', ')}`,
      'only engines.ts and worker.ts know several engines',
    )
  }

  if (!isTest && !nondeterministicParts.includes(from)) {
    for (const pattern of nondeterminism) {
      const found = pattern.exec(codeOf(source))
      if (found) report(`"${found[0]}"`, 'time and randomness come from the environment')
    }
  }
  return problems

  function checkOwn(specifier: string, typeOnly: boolean, what: string): void {
    const target = posix.join(posix.dirname(file), specifier)
    const to = partOf(target)
    if (target.startsWith('..')) return void report(what, 'leaves src')
    if (isTopTest || to === from) return
    const isOptions = typeOnly && target === `${to}/options.ts`
    if (to.startsWith('engines/') && !isOptions) enginesSeen.add(to)

    if (to === 'testing') {
      if (!isTest) report(what, 'only tests import testing')
      return
    }
    if (from === 'cli') {
      if (!PUBLIC.includes(to)) {
        report(what, 'cli imports only index.ts, collections.ts, its own folder and libraries')
      }
      return
    }
    if (levelOf(to) === -1) return void report(what, 'its target has no layer')
    if (levelOf(to) < level) return
    if (levelOf(to) > level)
      return void report(what, `imports point down, ${from} lies below ${to}`)

    const neighbour = neighbours.find((pair) => pair.from === from && pair.to === to)
    if (neighbour === undefined) report(what, `${from} and ${to} are siblings`)
    else if (!typeOnly && !neighbour.atRunTime.includes(target)) {
      report(what, `at run time ${from} imports from ${to} only what is named`)
    }
  }

  function checkBuiltin(specifier: string, what: string): void {
    if (isTest) return
    // `node:fs/promises` comes in through the door of `node:fs`.
    const name = `node:${specifier.replace(/^node:/, '').split('/')[0]}`
    const allowed = doors[name]
    if (allowed === undefined) return
    // An entry with a slash is the start of a file's path, any other a part.
    if (allowed.some((door) => (door.includes('/') ? file.startsWith(door) : door === from))) return
    report(what, `${name} only in ${allowed.join(', ')}`)
  }

  function checkLibrary(specifier: string, what: string): void {
    const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
    const allowed = Object.hasOwn(libraries, name) ? libraries[name] : undefined
    if (allowed !== undefined) {
      if (!isTest && !allowed.includes(from)) report(what, `${name} only in ${allowed.join(', ')}`)
    } else if (!isTest && from !== 'testing') {
      report(
        what,
        'is not a dependency of the package; only tests and testing use development ones',
      )
    }
  }
}

/** `engines/log/get.ts` → `engines/log`, `bytes/varint.ts` → `bytes`, `errors.ts` → `errors.ts`. */
function partOf(file: string): string {
  const [first = '', second = '', third] = file.split('/')
  return first === 'engines' && third !== undefined ? `${first}/${second}` : first
}

function levelOf(part: string): number {
  const name = part.startsWith('engines/') ? 'engines/*' : part
  return layers.findIndex((layer) => layer.includes(name))
}

function isBuiltin(specifier: string): boolean {
  return specifier.startsWith('node:') || builtinModules.includes(specifier)
}

/** Static, re-exporting, side-effect and dynamic imports, and types written `import('…')`. */
function importsOf(source: string): Import[] {
  const code = source.replace(literal, (text, offset: number) => {
    const isSpecifier = /\b(?:from|import)\s*\(?\s*$/.test(
      source.slice(Math.max(0, offset - 40), offset),
    )
    return isSpecifier ? text : ' '
  })
  const found: Import[] = []
  const statement =
    /^[ \t]*(?:import|export)\s+(type\s+(?!from\b))?(?:[\w$*][\w$*\s]*,?\s*)?(?:\{[^}]*\}\s*)?from\s*(['"])(.*?)\2/gm
  for (const match of code.matchAll(statement)) {
    found.push({ specifier: match[3]!, typeOnly: match[1] !== undefined })
  }
  for (const match of code.matchAll(/\bimport\s*(?:\(\s*)?(['"`])(.*?)\1/g)) {
    found.push({ specifier: match[2]!, typeOnly: false })
  }
  return found
}

/** Strings and comments: matched together, because each may contain what looks like the start of the other. */
const literal =
  /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g

/** Templates stay, because code stands in them. */
function codeOf(source: string): string {
  return source.replace(literal, (text) => (text.startsWith('`') ? text : ' '))
}

const src = fileURLToPath(new URL('../src/', import.meta.url))

function sourceFiles(): string[] {
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll(sep, '/'))
    .filter((name) => name.endsWith('.ts'))
    .sort()
}

test('imports point down', () => {
  const files = sourceFiles()
  assert.ok(files.includes('errors.ts'), 'the sources were found')
  const problems = files.flatMap((file) => check(file, readFileSync(src + file, 'utf8')))
  assert.equal(problems.length, 0, `\n${problems.join('\n')}`)
})

test('every dependency of the package has its place', () => {
  const manifest = JSON.parse(readFileSync(`${src}../package.json`, 'utf8')) as {
    dependencies: Record<string, string>
    peerDependencies: Record<string, string>
  }
  const { dependencies, peerDependencies } = manifest
  assert.deepEqual(
    Object.keys({ ...dependencies, ...peerDependencies }).sort(),
    Object.keys(libraries).sort(),
  )
})

/** File, source, and a part of the complaint expected. */
const refused: readonly [string, string, string][] = [
  ['bytes/a.ts', "import { a } from '../storage/a.ts'", 'bytes lies below storage'],
  ['bytes/a.ts', "import type { A } from '../storage/a.ts'", 'bytes lies below storage'],
  ['bytes/a.ts', "import {\n  a,\n  b,\n} from '../vfs/a.ts'", 'bytes lies below vfs'],
  ['bytes/a.ts', "export * from '../vfs/a.ts'", 'bytes lies below vfs'],
  ['bytes/a.ts', "export * as vfs from '../vfs/a.ts'", 'bytes lies below vfs'],
  ['bytes/a.ts', "import a, { b } from '../vfs/a.ts'", 'bytes lies below vfs'],
  ['bytes/a.ts', "import '../vfs/a.ts'", 'bytes lies below vfs'],
  ['bytes/a.ts', "const a = await import('../vfs/a.ts')", 'bytes lies below vfs'],
  ['bytes/a.ts', "let a: import('../vfs/a.ts').A", 'bytes lies below vfs'],
  ['bytes/a.test.ts', "import { a } from '../vfs/a.ts'", 'bytes lies below vfs'],
  ['bytes/a.ts', "import { a } from '../../bin/a.ts'", 'leaves src'],
  ['bytes/a.ts', "const a = 'http://'; import('../vfs/a.ts')", 'bytes lies below vfs'],
  ['errors.ts', "import { a } from './bytes/a.ts'", 'errors.ts lies below bytes'],
  ['odd/a.ts', '', '"odd": has no layer'],
  ['odd.ts', '', '"odd.ts": has no layer'],
  ['store/a.ts', "import { a } from '../odd/a.ts'", 'its target has no layer'],
  ['vfs/a.ts', "import { a } from '../environment/node.ts'", 'vfs imports from environment only'],
  ['environment/a.ts', "import { a } from '../vfs/inode.ts'", 'environment imports from vfs only'],
  [
    'engines/log/a.ts',
    "import { a } from '../lsm/a.ts'",
    'engines/log and engines/lsm are siblings',
  ],
  ['engines/log/a.ts', "import { a } from '../../engines.ts'", 'engines/log lies below engines.ts'],
  ['engine/a.ts', "import { a } from '../engines/log/a.ts'", 'engine lies below engines/log'],
  ['engines.ts', "import { a } from './worker.ts'", 'engines.ts lies below worker.ts'],
  [
    'store/a.ts',
    "import { a } from '../engines/log/a.ts'\nimport { b } from '../engines/fst/b.ts'",
    'only engines.ts and worker.ts know several engines',
  ],
  [
    'store/a.ts',
    "import { a } from '../engines/log/options.ts'\nimport { b } from '../engines/fst/options.ts'",
    'only engines.ts and worker.ts know several engines',
  ],
  ['store/a.ts', "import { a } from '../index.ts'", 'store lies below index.ts'],
  ['store/a.ts', "import { a } from '../testing/a.ts'", 'only tests import testing'],
  ['cli/a.ts', "import { a } from '../store/a.ts'", 'cli imports only index.ts'],
  ['cli/a.ts', "import { a } from '../errors.ts'", 'cli imports only index.ts'],
  ['store/a.ts', "import { a } from 'node:fs'", 'node:fs only in'],
  ['store/a.ts', "import { a } from 'node:fs/promises'", 'node:fs only in'],
  ['store/a.ts', "import { a } from 'fs'", 'node:fs only in'],
  ['vfs/memory.ts', "import { a } from 'node:fs'", 'node:fs only in'],
  ['store/a.ts', "import { a } from 'node:crypto'", 'node:crypto only in'],
  ['store/a.ts', "import { a } from 'node:worker_threads'", 'node:worker_threads only in'],
  ['store/a.ts', "import { a } from 'node:timers/promises'", 'node:timers only in'],
  ['store/a.ts', "import { a } from 'commander'", 'commander only in cli'],
  ['store/a.ts', "import a from '@bomb.sh/tab/commander'", '@bomb.sh/tab only in cli'],
  ['cli/a.ts', "import a from 'left-pad'", 'not a dependency'],
  ['store/a.ts', 'const now = Date.now()', 'come from the environment'],
  ['store/a.ts', 'const now = new Date()', 'come from the environment'],
  ['store/a.ts', 'const a = `$' + '{Math.random()}`', 'come from the environment'],
  ['store/a.ts', 'setTimeout(() => {}, 1)', 'come from the environment'],
  ['store/a.ts', 'globalThis.setInterval(() => {}, 1)', 'come from the environment'],
  ['store/a.ts', 'setImmediate(() => {})', 'come from the environment'],
  ['vfs/node.ts', 'performance.now()', 'come from the environment'],
]

test('the checker refuses what is wrong', () => {
  for (const [file, source, complaint] of refused) {
    const problems = check(file, source)
    const shown = `${file} with ${source} gives ${JSON.stringify(problems)}`
    assert.equal(problems.length, 1, shown)
    assert.ok(problems[0]!.startsWith(`${file}: `) && problems[0]!.includes(complaint), shown)
  }
})

const accepted: readonly [string, string][] = [
  ['bytes/a.ts', "import { a } from './b.ts'\nimport { b } from '../errors.ts'"],
  ['bytes/a.ts', "/** import { open } from '../store/a.ts' */\n// import '../store/a.ts'"],
  ['bytes/a.ts', `const a = "import { a } from '../vfs/a.ts'"; const b = "import('../vfs/a.ts')"`],
  ['bytes/a.ts', "const a = 'Date.now() and /* '; const b = ' */'"],
  ['vfs/files.ts', "import { Effect } from '../environment/routine.ts'"],
  ['vfs/node.ts', "import { a } from 'node:fs/promises'"],
  ['vfs/node-lock.ts', "import { a } from 'node:fs'"],
  ['environment/environment.ts', "import type { Files } from '../vfs/files.ts'"],
  ['environment/node.ts', "import { nodeFiles } from '../vfs/node.ts'"],
  ['environment/node.ts', 'const now = Date.now(); setTimeout(() => {}, 1)'],
  ['storage/cipher.ts', "import { a } from 'node:crypto'\nimport { b } from '../vfs/files.ts'"],
  ['engines/log/a.ts', "import { a } from '../../engine/a.ts'\nimport { b } from './b.ts'"],
  ['engines.ts', "import { a } from './engines/log/a.ts'\nimport { b } from './engines/fst/b.ts'"],
  ['worker.ts', "import { a } from 'node:worker_threads'\nimport { b } from './engines.ts'"],
  ['store/a.ts', "import { a } from '../engines.ts'\nenvironment.setTimeout(() => {}, 1)"],
  [
    'store/a.ts',
    "import type { A } from '../engines/log/options.ts'\nexport type { B } from '../engines/fst/options.ts'",
  ],
  ['store/a.test.ts', "import { a } from '../testing/a.ts'\nimport fc from 'fast-check'"],
  ['index.ts', "export { open } from './store/open.ts'"],
  ['cli/main.ts', "import { open } from '../index.ts'\nimport { Command } from 'commander'"],
  [
    'testing/a.ts',
    "import { a } from '../engines/log/a.ts'\nimport { b } from '../engines/fst/b.ts'",
  ],
  ['architecture.test.ts', "import { a } from './testing/a.ts'\nimport { b } from 'node:fs'"],
]

test('the checker accepts what is right', () => {
  for (const [file, source] of accepted) assert.deepEqual(check(file, source), [], file)
})
