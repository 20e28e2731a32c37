import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { suite, test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { SeededRandom } from '../bytes/random.ts'
import { KvarkError } from '../errors.ts'
import {
  COMPRESSIONS,
  type Compression,
  type CompressionName,
  compressionNamed,
  compressionOf,
} from './compression.ts'

const hasZstd = 'zstdCompressSync' in zlib
const names = COMPRESSIONS.filter((name) => name !== 'none')

function compressionFor(name: CompressionName): Compression {
  const compression = compressionNamed(name)
  assert.ok(compression !== undefined, name)
  return compression
}

/** What fills a block: everything from one byte repeated to noise. */
const contents = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 400 }))
    .map(([part, times]) => new Uint8Array(Buffer.concat(Array<Uint8Array>(times).fill(part)))),
  fc
    .tuple(fc.integer(), fc.integer({ min: 1, max: 65_000 }))
    .map(([seed, length]) => new SeededRandom(seed).bytes(length)),
)

test('each has a name and an id of its own; none has neither', () => {
  assert.equal(compressionNamed('none'), undefined)
  assert.equal(compressionOf(0), undefined)
  assert.equal(compressionOf(15), undefined)
  const known = [1, 2, 3].map((id) => compressionOf(id)!)
  assert.deepEqual(
    known.map(({ name }) => name),
    names,
  )
})

test('zstd where Node has none is UNSUPPORTED', { skip: hasZstd && 'this Node has zstd' }, () => {
  assert.throws(
    () => compressionNamed('zstd'),
    (error) => {
      assert.ok(error instanceof KvarkError)
      assert.equal(error.code, 'UNSUPPORTED')
      assert.match(error.message, /needs Node 22\.15 or newer; this is v.* Use 'lz4'/)
      return true
    },
  )
  // A block that says it is zstd is one that cannot be read, not a crash.
  assert.equal(compressionOf(3)!.decompress(new Uint8Array(20), 10), undefined)
})

test('lz4 without its package is UNSUPPORTED from the start, before a store is made', () => {
  const program = `
    import Module from 'node:module'
    const { _resolveFilename } = Module
    Module._resolveFilename = (name, ...rest) => {
      if (name === 'lz4-wasm-nodejs') throw new Error('it is not there')
      return _resolveFilename(name, ...rest)
    }
    const { open } = await import(${JSON.stringify(new URL('../index.js', import.meta.url).href)})
    await open(':memory:', { compression: 'lz4' }).catch(({ code, message }) => console.log(code, message))`
  const args = ['--input-type=module', '-e', program]
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.match(stdout, /^UNSUPPORTED .* npm install lz4-wasm-nodejs$/m, stderr)
})

for (const name of names) {
  suite(name, { skip: name === 'zstd' && !hasZstd && 'this Node has no zstd' }, () => {
    test('what is compressed comes back, from any place in memory', () => {
      const compression = compressionFor(name)
      fc.assert(
        fc.property(contents, fc.integer({ min: 0, max: 7 }), (bytes, shift) => {
          const compressed = compression.compress(bytes)
          const room = Buffer.alloc(compressed.length + shift + 3, 0xee)
          room.set(compressed, shift)
          const moved = room.subarray(shift, shift + compressed.length)
          const plain = compression.decompress(moved, bytes.length)
          assert.ok(plain !== undefined && Buffer.compare(plain, bytes) === 0)
        }),
        { numRuns: 150 },
      )
    })

    test('what repeats gets shorter', () => {
      assert.ok(compressionFor(name).compress(Buffer.alloc(16_000, 'abcd')).length < 300)
    })

    test('a wrong length is refused', () => {
      const compression = compressionFor(name)
      const bytes = Buffer.from('some text, '.repeat(50))
      const compressed = compression.compress(bytes)
      for (const length of [0, 1, bytes.length - 1, bytes.length + 1, 2 ** 31, 2 ** 32 - 1]) {
        assert.equal(compression.decompress(compressed, length), undefined, `${length}`)
      }
    })

    test('every cut gives nothing, and nothing throws', () => {
      const compression = compressionFor(name)
      const bytes = Buffer.from('some text, and some more; '.repeat(30))
      const compressed = compression.compress(bytes)
      for (let end = 0; end < compressed.length; end++) {
        assert.equal(compression.decompress(compressed.subarray(0, end), bytes.length), undefined)
      }
    })

    test('damaged input never throws, never gives another length, and hurts nothing later', () => {
      const compression = compressionFor(name)
      const bytes = Buffer.from('some text, and some more; '.repeat(30))
      const compressed = Buffer.from(compression.compress(bytes))
      const attempt = (damaged: Uint8Array): void => {
        const plain = compression.decompress(damaged, bytes.length)
        assert.ok(plain === undefined || plain.length === bytes.length)
      }
      for (let bit = 0; bit < compressed.length * 8; bit++) {
        const damaged = Buffer.from(compressed)
        damaged[bit >>> 3]! ^= 1 << (bit & 7)
        attempt(damaged)
      }
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
          attempt(noise)
          // Past the length that lz4 begins with.
          attempt(Buffer.concat([compressed.subarray(0, 4), noise]))
        }),
        { numRuns: 500 },
      )
      assert.deepEqual(Buffer.from(compression.decompress(compressed, bytes.length)!), bytes)
    })
  })
}
