import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type Content,
  contentOf,
  type DamagedForm,
  differences,
  environmentWith,
  openAt,
  write,
} from './damage.ts'
import { blocksOf, headerBytesOf, historyOf, isSegment, lastOf } from './tampering.ts'

const key = new Uint8Array(32).map((_, i) => i * 3)
const FORMS: readonly [string, DamagedForm][] = [
  ['encrypted', { encryption: { key } }],
  ['encrypted and compressed', { encryption: { key }, compression: 'lz4' }],
]
/** Words of keys, of values, of the manifest and of the stored index. */
const WORDS = [
  'key 1',
  'of 12',
  'and so on',
  'behind',
  'spread',
  'windows',
  'nextFile',
  'floor',
  'replay',
  'clearedSequence',
]
/** The length of a block of AES: nothing shorter shows that two texts are the same. */
const RUN_BYTES = 16

/** Refused as a wrong key, and nothing is written. */
function assertWrong(content: Content, form: DamagedForm): void {
  const environment = environmentWith(content)
  write(environment, 'LOCK', Buffer.alloc(0))
  const before = contentOf(environment)
  assert.throws(() => openAt(environment, form), { code: 'BAD_ENCRYPTION_KEY' })
  assert.deepEqual(differences(contentOf(environment), before), [])
}

/** A closed store with one entry. */
function smallStore(form: DamagedForm): Content {
  const environment = environmentWith(new Map())
  const db = openAt(environment, form)
  db.putSync('a', 'b')
  db.closeSync()
  return contentOf(environment)
}

test('a wrong key is BAD_ENCRYPTION_KEY, and nothing is written', () => {
  const content = smallStore({ encryption: { key } })
  for (let at = 0; at < key.length; at += 5) {
    const wrong = new Uint8Array(key)
    wrong[at]! ^= 1
    assertWrong(content, { encryption: { key: wrong } })
  }
  assertWrong(content, { encryption: { key: new Uint8Array(33) } })
  assertWrong(content, { encryption: { passphrase: 'a key is no passphrase' } })
  assertWrong(content, {})
})

test('a wrong passphrase is BAD_ENCRYPTION_KEY, and nothing is written', () => {
  const content = smallStore({ encryption: { passphrase: 'correct horse battery staple' } })
  assertWrong(content, { encryption: { passphrase: 'correct horse battery stapl' } })
  assertWrong(content, { encryption: { passphrase: 'Correct horse battery staple' } })
  assertWrong(content, { encryption: { key } })
})

for (const [title, form] of FORMS) {
  describe(title, () => {
    test('no word of a key, a value or the manifest stands in any file, at any time', () => {
      const { closed, lost } = historyOf(form)
      for (const content of [...closed, lost]) {
        for (const [name, bytes] of content) {
          if (name === 'LOCK') continue
          for (const word of WORDS) assert.equal(bytes.indexOf(word), -1, `${word} in ${name}`)
        }
      }
    })

    test('the words would be found where nothing is encrypted', () => {
      const files = [...lastOf(historyOf({})).values()]
      for (const word of WORDS)
        assert.ok(
          files.some((bytes) => bytes.includes(word)),
          word,
        )
    })

    test('no word of a value on its way in stands in any file', async () => {
      for (const [stored, found] of [
        [form, false],
        [{}, true],
      ] as const) {
        const environment = environmentWith(new Map())
        const db = openAt(environment, stored)
        const value = Buffer.from('a secret of many words '.repeat(150_000))
        const seen: Content[] = []
        const source = function* (): Generator<Uint8Array> {
          for (let at = 0; at < value.length; at += 500_000) {
            yield value.subarray(at, at + 500_000)
            seen.push(contentOf(environment))
          }
        }
        await db.putStream('key 1', source())
        seen.push(contentOf(environment))
        await db.close()
        seen.push(contentOf(environment))
        const files = seen.flatMap((content) => [...content])
        assert.ok(files.some(([name, bytes]) => name.endsWith('.tmp') && bytes.length > 1e6))
        const words = files.filter(([, bytes]) => bytes.includes('a secret of'))
        assert.equal(words.length > 0, found)
      }
    })

    test('the same key and value, written often: no 16 bytes of what is stored come twice', () => {
      const environment = environmentWith(new Map())
      const value = 'the same value, long enough to fill some blocks of the cipher '.repeat(14)
      const runs = new Set<string>()
      let found = 0
      for (let round = 0; round < 3; round++) {
        const db = openAt(environment, form)
        // Each is a frame of its own.
        for (let i = 0; i < 80; i++) db.putSync('the key', value, { durability: 'os' })
        db.closeSync()
      }
      for (const [name, bytes] of contentOf(environment)) {
        if (!isSegment(name)) continue
        for (const { at, storedEnd } of blocksOf(bytes, form)) {
          const from = at + headerBytesOf(form)
          for (let run = from; run + RUN_BYTES <= storedEnd; run++) {
            runs.add(bytes.toString('latin1', run, run + RUN_BYTES))
            found++
          }
        }
      }
      assert.ok(found > 5000, String(found))
      assert.equal(runs.size, found)
    })
  })
}
