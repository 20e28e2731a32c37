import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { runSync } from '../environment/routine.ts'
import type { KvarkError } from '../errors.ts'
import { PlainForm } from '../storage/block-form.ts'
import { EntryHeader } from '../storage/entry.ts'
import {
  FILE_HEADER_BYTES,
  FRAME_HEADER_BYTES,
  HEADERS_AT,
  WINDOW_BYTES,
} from '../storage/segment-format.ts'
import { readSpread } from '../storage/segment-walk.ts'
import { oneOf } from './crash/seeds.ts'
import {
  assertWhole,
  contentOf,
  type DamagedStore,
  differences,
  environmentWith,
  examine,
  type Findings,
  FOLDER,
  makeStore,
  openAt,
  write,
} from './damage.ts'
import { footerJson, withFooterJson } from './stored-index.ts'
import { blocksOf, changed, headerBytesOf, repairBlock, resealed, sourceOf } from './tampering.ts'

const { content, expected } = makeStore()
const other = makeStore(1000).content
/** A store with the same file names and sizes. */
const twin = makeStore().content

const names = [...content.keys()].filter((name) => name !== 'LOCK')
const segments = names.filter((name) => /\.(?:log|packed)$/.test(name))
const index = names.find((name) => name.endsWith('.index'))!

/** What can stand in a window of 16 KiB, and a value that runs through several. */
/** Of so many bytes one has each of its bits changed. */
const STRIDE = oneOf(3)
const MOST_UNREADABLE = 300

/** Puts `bytes` in the place of a file, looks, puts the file back, and looks again. */
function tryWith(name: string, bytes: Buffer | undefined, hint: string): Findings {
  const environment = environmentWith(content)
  write(environment, name, bytes)
  const before = contentOf(environment)
  try {
    const findings = examine(environment, expected)
    if (findings.refused) assert.deepEqual(differences(contentOf(environment), before), [])
    write(environment, name, content.get(name))
    assertWhole(environment, expected)
    return findings
  } catch (error) {
    throw new Error(`${name}, ${hint}`, { cause: error })
  }
}

function refusal(name: string, bytes: Buffer | undefined, hint: string): KvarkError {
  const { refused } = tryWith(name, bytes, hint)
  assert.ok(refused, `${name}, ${hint}: it opens`)
  return refused
}

function flipped(name: string, at: number, bits: number): Buffer {
  const bytes = Buffer.from(content.get(name)!)
  bytes[at]! ^= bits
  return bytes
}

/** A file of another store, of the same name or at least the same kind. */
function ofOther(name: string): Buffer {
  const kind = name.replace(/^\d+/, '')
  const found = other.get(name) ?? other.get([...other.keys()].find((one) => one.endsWith(kind))!)
  assert.ok(found, `the other store has no file like ${name}`)
  return found
}

/** Lengths to cut a file of `size` bytes to. */
function cuts(size: number): number[] {
  const headers = [511, 512, 1024, HEADERS_AT[1] - 1, HEADERS_AT[1]]
  const frames = [FILE_HEADER_BYTES - 1, FILE_HEADER_BYTES, FILE_HEADER_BYTES + 1]
  const lengths = [0, 1, 8, 63, ...headers, ...frames, size >> 1, size - 513, size - 1]
  return [...new Set(lengths.filter((length) => length >= 0 && length < size))]
}

const FOREIGN: readonly [hint: string, bytes: Buffer][] = [
  ['empty', Buffer.alloc(0)],
  ['a text', Buffer.from('This is no file of a store.\nIt is a text.\n')],
  ['a JSON document', Buffer.from('{"name":"not kvark","version":1}\n')],
  ['a picture', Buffer.from('89504e470d0a1a0a0000000d49484452'.repeat(200), 'hex')],
  ['zeros', Buffer.alloc(40_000)],
]

test('the store under test has every kind of file', () => {
  assert.ok(segments.some((name) => name.endsWith('.log')))
  assert.ok(segments.filter((name) => name.endsWith('.packed')).length > 1)
  assert.ok(index !== undefined && names.includes('KVARK') && names.includes('MANIFEST'))
  assertWhole(environmentWith(content), expected)
})

for (const name of ['KVARK', 'MANIFEST']) {
  test(`${name}: flipped bits, cuts and foreign files are refused`, () => {
    const original = content.get(name)!
    // What is refused changes nothing, so one place does for all.
    const environment = environmentWith(content)
    for (let at = 0; at < original.length; at += STRIDE) {
      for (let bit = 0; bit < 8; bit++) {
        write(environment, name, flipped(name, at, 1 << bit))
        const { refused } = examine(environment, expected)
        assert.deepEqual([refused?.code, refused?.path], ['CORRUPTION', `${FOLDER}/${name}`])
      }
      const cut = refusal(name, original.subarray(0, at), `cut to ${at}`)
      assert.deepEqual([cut.code, cut.path], ['CORRUPTION', `${FOLDER}/${name}`])
      refusal(name, flipped(name, at, 0xff), `byte ${at}`)
    }
    for (const [hint, bytes] of FOREIGN) {
      assert.equal(refusal(name, bytes, hint).path, `${FOLDER}/${name}`)
    }
    assert.equal(refusal(name, undefined, 'removed').code, 'CORRUPTION')
  })

  test(`${name} of another store is refused, and takes nothing away`, () => {
    assert.equal(refusal(name, ofOther(name), "another store's").code, 'CORRUPTION')
    assert.equal(refusal(name, twin.get(name), "a like store's").code, 'CORRUPTION')
  })
}

for (const [engine, list] of [
  ['log', 'MANIFEST'],
  ['btree', 'TREE'],
] as const) {
  for (const killed of [false, true]) {
    const how = killed ? 'opened after a kill and closed' : 'closed'
    test(`a store without a segment of the journal, ${how}: an older ${list} is refused, and takes nothing away`, () => {
      const first = environmentWith(new Map())
      const db = openAt(first, { engine })
      const older = contentOf(first).get(list)
      for (let i = 0; i < 20; i++) db.putSync('key', `${i}`.repeat(2000))
      db.compactSync()
      const left = contentOf(first)
      assert.ok(![...left.keys()].some((name) => name.endsWith('.log')))
      db.closeSync()
      const environment = killed ? environmentWith(left) : first
      if (killed) openAt(environment, { engine }).closeSync()
      const closed = contentOf(environment)
      write(environment, list, older)
      const damaged = contentOf(environment)
      for (let i = 0; i < 2; i++) {
        const { refused } = examine(environment, new Map(), { engine })
        assert.equal(refused?.code, 'CORRUPTION')
        assert.deepEqual(differences(contentOf(environment), damaged), [])
      }
      write(environment, list, closed.get(list))
      assertWhole(environment, new Map([['key', '19'.repeat(2000)]]), { engine })
    })
  }
}

for (const [engine, list] of [
  ['log', 'MANIFEST'],
  ['btree', 'TREE'],
] as const) {
  for (const job of ['compact', 'backup'] as const) {
    test(`a store that was opened for a ${job} only: an older ${list} gives what was there, or is refused (${engine})`, () => {
      const environment = environmentWith(new Map())
      let db = openAt(environment, { engine })
      const older = contentOf(environment).get(list)
      db.putSync('key', 'value')
      db.closeSync()
      db = openAt(environment, { engine })
      if (job === 'compact') db.compactSync()
      else db.backupSync('/copy')
      db.closeSync()
      const closed = contentOf(environment)
      write(environment, list, older)
      const damaged = contentOf(environment)
      const { refused } = examine(environment, new Map([['key', 'value']]), { engine })
      if (refused) assert.deepEqual(differences(contentOf(environment), damaged), [])
      write(environment, list, closed.get(list))
      assertWhole(environment, new Map([['key', 'value']]), { engine })
    })
  }
}

test('the segment that holds nothing but the mark of a clean close is removed behind a compaction: CORRUPTION', () => {
  const environment = environmentWith(new Map())
  const db = openAt(environment, { engine: 'log' })
  db.putSync('key', 'old')
  db.putSync('key', 'value')
  db.compactSync()
  db.closeSync()
  const names = [...contentOf(environment).keys()].filter((name) => name.endsWith('.log'))
  assert.equal(names.length, 1)
  write(environment, names[0]!, undefined)
  assert.throws(() => openAt(environment, { engine: 'log' }), { code: 'CORRUPTION' })
})

test('a segment that is cut, removed or foreign is noticed, and nothing is lost', () => {
  for (const name of segments) {
    const original = content.get(name)!
    for (const length of cuts(original.length)) {
      const hint = `cut to ${length}`
      const { refused, problems } = tryWith(name, original.subarray(0, length), hint)
      // What opening does not read verify does. The very last byte may be of the mark of a clean close, which says
      // nothing that the manifest does not.
      const errors = refused ? [refused] : problems
      const noticed = errors.length > 0 || length === original.length - 1
      assert.ok(noticed, `${name}, ${hint}: nobody noticed`)
      for (const { code, path } of errors) {
        assert.deepEqual([code, path], ['CORRUPTION', `${FOLDER}/${name}`], hint)
      }
    }
    for (const [hint, bytes] of FOREIGN) refusal(name, bytes, hint)
    refusal(name, undefined, 'removed')
    refusal(name, ofOther(name), "another store's")
    refusal(name, twin.get(name), "a like store's")
    const neighbour = segments.find((one) => one !== name)!
    refusal(name, content.get(neighbour), `a copy of ${neighbour}`)
  }
})

test('a damaged byte of a segment: the right value or its place, never a wrong value', () => {
  const random = new SeededRandom(20)
  for (const name of segments) {
    const original = content.get(name)!
    const places = new Set<number>()
    // The headers of the file, and of its first block and frame.
    for (let at = 0; at < 64; at += 3)
      places
        .add(at)
        .add(HEADERS_AT[1] + at)
        .add(FILE_HEADER_BYTES + at)
    while (places.size < 100) places.add(random.below(original.length))
    for (const at of places) {
      const bits = random.below(2) === 0 ? 0xff : 1 << random.below(8)
      const { refused, unreadable, problems } = tryWith(
        name,
        flipped(name, at, bits),
        `byte ${at} ^ ${bits}`,
      )
      const hint = `${name}, byte ${at} ^ ${bits}`
      assert.ok(unreadable.size <= MOST_UNREADABLE, `${hint}: ${unreadable.size} unreadable`)
      if (refused) assert.equal(refused.path, `${FOLDER}/${name}`, hint)
      // Zeros may be padding, where nothing is kept; another byte never is.
      else if (original[at] !== 0) assert.notEqual(problems.length, 0, `${hint}: verify missed it`)
    }
  }
})

test('a damaged block that looks like padding gives no unchecked value', () => {
  const small = environmentWith(new Map())
  const db = openAt(small)
  db.putSync('a', 'overwritten')
  db.putSync('a', 'value of a')
  db.compactSync()
  db.closeSync()
  const name = small.files
    .list(FOLDER)
    .sync()
    .find((one) => one.endsWith('.packed'))!
  const bytes = Buffer.from(contentOf(small).get(name)!)
  bytes.writeUInt16LE(0, FILE_HEADER_BYTES + 8)
  bytes.write('VALUE', bytes.indexOf('value'), 'latin1')
  write(small, name, bytes)
  const { unreadable } = examine(small, new Map([['a', 'value of a']]))
  assert.deepEqual([...unreadable.keys()], ['a'])
})

test('a window of a long value or key that was lost as zeros gives no zeros, and is not taken for another key', () => {
  const key = 'k'.repeat(40_000)
  const value = Array.from({ length: 12_000 }, (_, i) => `${i}`).join(' ')
  const expected = new Map([
    ['a', value],
    [key, 'under a long key'],
    ['b', 'behind it'],
  ])
  for (const form of [{}, { encryption: { key: new Uint8Array(32).fill(1) } }]) {
    const whole = environmentWith(new Map())
    const db = openAt(whole, { ...form, segmentBytes: 2 ** 20 })
    db.putSync('a', 'before that')
    for (const [name, text] of expected) db.putSync(name, text, { durability: 'none' })
    db.compactSync()
    db.closeSync()
    const content = contentOf(whole)
    const name = [...content.keys()].find((one) => one.endsWith('.packed'))!
    const original = content.get(name)!
    for (let at = 2 * WINDOW_BYTES; at + WINDOW_BYTES < original.length; at += WINDOW_BYTES) {
      const bytes = Buffer.from(original)
      bytes.fill(0, at, at + WINDOW_BYTES)
      const { unreadable } = examine(
        environmentWith(new Map([...content, [name, bytes]])),
        expected,
        form,
      )
      assert.notEqual(unreadable.size, 0, `at ${at}`)
    }
  }
})

test('a stored index that is damaged, cut, foreign or lost is built anew from the data', () => {
  const original = content.get(index)!
  const random = new SeededRandom(21)
  const places = Array.from({ length: 60 }, () => random.below(original.length))
  const tries: [hint: string, bytes: Buffer | undefined][] = [
    ...[
      0,
      8,
      12,
      23,
      original.length - 1,
      original.length - 12,
      original.length - 40,
      ...places,
    ].map((at): [string, Buffer] => [`byte ${at}`, flipped(index, at, 1 << random.below(8))]),
    ...cuts(original.length).map((length): [string, Buffer] => [
      `cut to ${length}`,
      original.subarray(0, length),
    ]),
    ...FOREIGN,
    ["another store's", ofOther(index)],
    ["a like store's", twin.get(index)],
    ['removed', undefined],
  ]
  for (const [hint, bytes] of tries) {
    const warnings: string[] = []
    const environment = environmentWith(content, warnings)
    write(environment, index, bytes)
    try {
      assertWhole(environment, expected)
      assertWhole(environment, expected)
    } catch (error) {
      throw new Error(`${index}, ${hint}`, { cause: error })
    }
    assert.equal(warnings.length > 0, true, `${hint}: nobody was told`)
    assert.match(warnings[0]!, /stored index cannot be used and is built anew/)
  }
})

test('with the index lost, a damaged segment still gives no wrong value', () => {
  const random = new SeededRandom(22)
  for (const name of segments) {
    const original = content.get(name)!
    for (let n = 0; n < 40; n++) {
      const at = random.below(original.length)
      const environment = environmentWith(content)
      write(environment, index, undefined)
      write(environment, name, flipped(name, at, 1 << random.below(8)))
      examine(environment, expected)
      write(environment, name, original)
      assertWhole(environment, expected)
    }
  }
})

test('a byte damaged after a kill: a prefix of what was written, with all that was synced', () => {
  const environment = environmentWith(new Map())
  const db: DamagedStore = openAt(environment)
  const synced = 40
  for (let i = 0; i < 80; i++) {
    db.putSync(`${i}`, `value ${i}`, { durability: i === synced - 1 ? 'disk' : 'os' })
  }
  const killed = contentOf(environment)
  db.closeSync()
  const name = [...killed.keys()].find((one) => one.endsWith('.log'))!
  const original = killed.get(name)!
  for (let at = 0; at < original.length; at += 3) {
    const bytes = Buffer.from(original)
    bytes[at]! ^= 1 << (at % 8)
    const copy = environmentWith(killed)
    write(copy, name, bytes)
    let reopened: DamagedStore
    try {
      reopened = openAt(copy)
    } catch (error) {
      assert.equal((error as KvarkError).code, 'CORRUPTION', `byte ${at}`)
      continue
    }
    const found = reopened.stats().entries
    for (let i = 0; i < found; i++) {
      assert.equal(reopened.getSync(`${i}`), `value ${i}`, `byte ${at}: ${i} of ${found}`)
    }
    assert.ok(found >= synced, `byte ${at}: only ${found}`)
    reopened.closeSync()
  }
})

for (const engine of ['log', 'btree'] as const) {
  test(`a sector of 4 KiB that is lost after a kill, the one with a header too: all that was synced, or a refusal (${engine})`, () => {
    const environment = environmentWith(new Map())
    const db = openAt(environment, { engine })
    const synced = 40
    for (let i = 0; i < 60; i++) {
      const value = `value ${i} ${'of some length '.repeat(40)}`
      db.putSync(`${i}`, value, { durability: i < synced ? 'disk' : 'os' })
    }
    const killed = contentOf(environment)
    db.closeSync()
    const journal = [...killed.keys()].filter((one) => one.endsWith('.log'))
    const newest = journal.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).at(-1)!
    const original = killed.get(newest)!
    let opened = 0
    for (let at = 0; at < original.length; at += 4096) {
      for (const byte of [0, 0xff]) {
        const hint = `${newest}, bytes from ${at} became ${byte}`
        const bytes = Buffer.from(original).fill(byte, at, Math.min(at + 4096, original.length))
        let reopened: DamagedStore
        try {
          reopened = openAt(environmentWith(changed(killed, newest, bytes)), { engine })
        } catch (error) {
          assert.equal((error as KvarkError).code, 'CORRUPTION', hint)
          assert.notEqual(at, 0, `${hint}: the other header says all`)
          continue
        }
        opened++
        const found = reopened.stats().entries
        assert.ok(found >= synced, `${hint}: only ${found}`)
        for (let i = 0; i < found; i++) assert.match(reopened.getSync(`${i}`)!, /^value/, hint)
        reopened.closeSync()
      }
    }
    assert.ok(opened >= 2)
  })
}

for (const form of [
  {},
  { compression: 'lz4' },
  { encryption: { key: Buffer.alloc(32) } },
] as const) {
  test(`a long key that a crash has torn: all that was synced is there (${JSON.stringify(Object.keys(form))})`, () => {
    const environment = environmentWith(new Map())
    const db = openAt(environment, form)
    db.putSync('a', 'synced', { durability: 'disk' })
    const key = Array.from({ length: 8000 }, (_, i) => `${i * i}`).join('')
    db.putSync(key, 'torn', { durability: 'os' })
    const killed = contentOf(environment)
    db.closeSync()
    const name = [...killed.keys()].filter((one) => one.endsWith('.log')).at(-1)!
    const original = killed.get(name)!
    for (let at = FILE_HEADER_BYTES; at < original.length; at += 1500) {
      for (const tail of [Buffer.alloc(0), Buffer.alloc(original.length - at)]) {
        const torn = Buffer.concat([original.subarray(0, at), tail])
        // The rest of a compressed block is zeros anyway.
        if (torn.equals(original)) continue
        const copy = environmentWith(changed(killed, name, torn))
        for (const opening of ['first', 'second']) {
          const reopened = openAt(copy, form)
          assert.equal(reopened.getSync('a'), 'synced')
          assert.equal(reopened.getSync(key), undefined, `cut at ${at}, ${opening} opening`)
          assert.deepEqual(reopened.verifySync().problems, [])
          reopened.closeSync()
        }
      }
    }
  })
}

test('a stored index whose footer was forged, checksum and all, is built anew', () => {
  const original = content.get(index)!
  const footer = JSON.parse(footerJson(original)) as Record<string, unknown>
  const [segment] = footer['segments'] as object[]
  const forged = [
    '{',
    'null',
    JSON.stringify({ ...footer, segments: null }),
    JSON.stringify({ ...footer, replay: null }),
    JSON.stringify({ ...footer, segments: [null] }),
    JSON.stringify({ ...footer, segments: [{ ...segment, slots: 1e12 }] }),
    JSON.stringify({ ...footer, segments: [{ ...segment, slot: -1 }] }),
    JSON.stringify({ ...footer, segments: [{ ...segment, max: {} }] }),
    JSON.stringify({ ...footer, replay: { segment: 1, address: 'front', sequence: 0 } }),
    JSON.stringify({ ...footer, clock: null }),
    JSON.stringify({ ...footer, format: 2 }),
  ]
  for (const text of forged) {
    const bytes = withFooterJson(original, text)
    assert.equal(tryWith(index, bytes, text).refused, undefined, text)
  }
})

test('a manifest that was forged, checksum and all, is refused and changes no file', () => {
  const original = content.get('MANIFEST')!
  const line = original.toString('utf8', 0, original.indexOf('\n'))
  const manifest = JSON.parse(line) as Record<string, unknown>
  const [packed] = manifest['packed'] as object[]
  const forged: unknown[] = [
    null,
    [],
    { ...manifest, format: null },
    { ...manifest, number: 'one' },
    { ...manifest, nextFile: 2 ** 40 },
    { ...manifest, nextFile: -1 },
    { ...manifest, packed: undefined },
    { ...manifest, packed: { length: 1 } },
    { ...manifest, packed: [null] },
    { ...manifest, packed: [packed, packed] },
    { ...manifest, packed: [{ ...packed, end: 0.5 }] },
    { ...manifest, journal: 'none' },
    { ...manifest, index: null },
    { ...manifest, floor: [[]] },
    { ...manifest, clearedSequence: 2 ** 50 },
    { ...manifest, edition: [] },
  ]
  for (const one of forged) {
    const text = JSON.stringify(one)
    const { code, path } = refusal('MANIFEST', resealed(text), text)
    assert.deepEqual([code, path], ['CORRUPTION', `${FOLDER}/MANIFEST`], text)
  }
})

test('a forged length of a value does not make room for gigabytes', () => {
  const small = environmentWith(new Map())
  const db = openAt(small)
  db.putSync('a', 'b'.repeat(40_000))
  db.closeSync()
  const files = contentOf(small)
  const name = [...files.keys()].find((one) => one.endsWith('.log'))!
  const bytes = Buffer.from(files.get(name)!)
  const [block] = blocksOf(bytes, {})
  // Kind, length of the key, and the length of the value in three bytes, the last of which now goes on.
  const at = block!.at + headerBytesOf({}) + FRAME_HEADER_BYTES
  bytes.set([0xff, 0xff, 0xff, 0xff, 0x0b], at + 2)
  repairBlock(bytes, block!.at, {})
  const reader = new EntryHeader()
  assert.ok(reader.read(bytes, at, block!.end) && reader.valueLength > 2 ** 31)
  const source = sourceOf(bytes, new PlainForm('crc32'))
  const read = readSpread(source, at + reader.length, reader.valueLength)
  assert.throws(() => runSync(read), { code: 'CORRUPTION' })
})

test('figures of a stored index that are more than its segments hold make compaction plan no files for them', () => {
  const footer = JSON.parse(footerJson(content.get(index)!)) as {
    segments: { tombstones: number }[]
  }
  footer.segments[0]!.tombstones = 2 ** 40
  const bytes = withFooterJson(content.get(index)!, JSON.stringify(footer))
  const environment = environmentWith(changed(content, index, bytes))
  const db = openAt(environment)
  db.compactSync()
  const { files } = db.stats()
  db.closeSync()
  assert.ok(files < content.size + 5, `${files} files`)
  assertWhole(environment, expected)
})
