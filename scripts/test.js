// Runs the compiled tests of all packages in one `node --test`, so that there is one summary.
//
//   node scripts/test.js [filter ...] [--node <binary>] [--thorough]
//
// A filter is a part of a test file's path, such as `bytes/` or `journal`; several filters add up. `--thorough`: all of the
// seeds, where tests of crashes and failing disks otherwise take a part of them.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    node: { type: 'string', default: process.execPath },
    thorough: { type: 'boolean', default: false },
  },
})

const files = testFiles().filter(
  (file) => positionals.length === 0 || positionals.some((part) => file.includes(part)),
)
if (files.length === 0) {
  console.error(
    positionals.length === 0
      ? 'No compiled tests found: has the build run?'
      : `No test file matches ${positionals.join(', ')}.`,
  )
  process.exit(1)
}

// Files are named one by one because Node 20, 22 and 24 disagree about folders and globs here. The
// concurrency is fixed because the default on a two-core machine is one.
const { status, error } = spawnSync(
  values.node,
  ['--enable-source-maps', '--test', '--test-concurrency=2', ...files],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, KVARK_THOROUGH: values.thorough ? '1' : '0' },
  },
)
if (error !== undefined) console.error(error.message)
process.exit(status ?? 1)

/** The compiled tests, as paths from the root with forward slashes. */
function testFiles() {
  const packages = join(root, 'packages')
  return readdirSync(packages)
    .map((name) => join(packages, name, 'dist'))
    .filter((dist) => existsSync(dist))
    .flatMap((dist) =>
      readdirSync(dist, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.js'))
        // The compiler never deletes its output, so dist may hold a test whose source is gone.
        .filter((name) => existsSync(join(dist, '../src', name.replace(/\.js$/, '.ts'))))
        .map((name) => relative(root, join(dist, name)).replaceAll(sep, '/')),
    )
    .sort()
}
