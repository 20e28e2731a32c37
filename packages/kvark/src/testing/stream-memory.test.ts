/** A streamed value takes a few MiB of memory, however long it is. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const CHILD = fileURLToPath(new URL('stream-memory-child.js', import.meta.url))
const MIB = 1024 * 1024
/** Long enough to be seen in what is held. */
const VALUE_BYTES = 64 * MIB
/** What is held besides; caches are part of it. */
const CACHE_BYTES = MIB
const MOST_BYTES = 8 * MIB

interface Held {
  readonly start: number
  readonly put: number
  readonly get: number
}

/** What a process of its own held at most. */
function measure(options: object, how: 'streamed' | 'whole'): Held {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-stream-'))
  try {
    const all = JSON.stringify({ cacheBytes: CACHE_BYTES, ...options })
    const args = ['--expose-gc', CHILD, join(folder, 'store'), `${VALUE_BYTES}`, all, how]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    return JSON.parse(stdout) as Held
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const FORMS = {
  'engine log': { engine: 'log' },
  plain: {},
  compressed: { compression: 'deflate' },
  encrypted: { encryption: { key: '07'.repeat(32) }, compression: 'lz4' },
}

for (const [name, options] of Object.entries(FORMS)) {
  test(`${shown(VALUE_BYTES)} MiB into a store and out of it, ${name}`, (t) => {
    const { start, put, get } = measure(options, 'streamed')
    t.diagnostic(`${shown(put - start)} MiB while writing, ${shown(get - start)} while reading`)
    assert.ok(put - start < MOST_BYTES, `${shown(put - start)} MiB while writing`)
    assert.ok(get - start < MOST_BYTES, `${shown(get - start)} MiB while reading`)
  })
}

test('the measure sees a value that is read as a whole', () => {
  const { start, get } = measure({}, 'whole')
  // Some of what was held at the start has gone meanwhile: on newer Nodes up to a MiB.
  assert.ok(get - start > VALUE_BYTES - MOST_BYTES)
})

function shown(bytes: number): string {
  return (bytes / MIB).toFixed(1)
}
