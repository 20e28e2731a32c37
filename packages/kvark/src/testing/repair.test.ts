import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { RepairReport, VerifyReport } from '../engine/facts.ts'
import { log } from '../engines/log/module.ts'
import type { Environment } from '../environment/environment.ts'
import { immediate, runSync } from '../environment/routine.ts'
import { type ErrorCode, KvarkError } from '../errors.ts'
import { storeForm } from '../storage/block-form.ts'
import { readDescriptor } from '../storage/descriptor.ts'
import { readPart } from '../storage/journal-recovery.ts'
import { Segment } from '../storage/segment.ts'
import {
  FILE_HEADER_BYTES,
  HEADERS_AT,
  readSegmentHeader,
  SECTOR_BYTES,
  WINDOW_BYTES,
} from '../storage/segment-format.ts'
import { COMPLETE, END, ENTRY, FRAME, NEED, SegmentWalk } from '../storage/segment-walk.ts'
import { openKey } from '../storage/store-key.ts'
import type { Codec } from '../store/codec.ts'
import { describeSync, openSync } from '../store/open.ts'
import { type RepairOptions, repair, repairSync } from '../store/repair.ts'
import type { FileHandle, OpenMode } from '../vfs/files.ts'
import { otherFiles } from '../vfs/other-files.ts'
import { FaultyFiles } from './contract/faulty-files.ts'
import { Place } from './contract/place.ts'
import { openRaw, SteppedEnvironment } from './contract/raw-engine.ts'
import {
  assertAdvice,
  type Content,
  contentOf,
  type DamagedForm,
  environmentWith,
  FOLDER,
  openAt,
} from './damage.ts'
import { isSegment, repair as repairChecksum } from './tampering.ts'

const TO = '/repaired'

/** A store, and everything that was ever written to it. */
interface Written {
  readonly form: DamagedForm
  readonly content: Content
  /** All values of each key, in the order of writing; `undefined`: it was deleted. */
  readonly values: ReadonlyMap<string, readonly (string | undefined)[]>
  readonly newest: readonly Entry[]
}

/** Where the newest entry of a key lies. */
interface Entry {
  readonly key: string
  readonly version: number
  readonly deleted: boolean
  readonly file: string
  /** Of the frame. */
  readonly from: number
  readonly to: number
}

/** Small and large frames, batches, long values, deletions, packed segments and a journal behind them. */
function write(form: DamagedForm, cleared = false): Written {
  const random = new SeededRandom(7)
  const chance = new SeededRandom(8)
  // The same bytes each time, keys and ids too.
  const environment = {
    ...environmentWith(new Map()),
    random: (length: number) => chance.bytes(length),
    now: () => 1_700_000_000_000,
  }
  const values = new Map<string, (string | undefined)[]>()
  let db = openAt(environment, form)
  const note = (key: string, value: string | undefined): void => {
    values.set(key, [...(values.get(key) ?? []), value])
  }
  const value = (i: number): string =>
    `${random.below(1e9)} of ${i} ${'.'.repeat(random.below(i % 7 === 0 ? 1500 : 200))}`
  const put = (i: number, durability: 'os' | 'none' | 'disk'): void => {
    const text = value(i)
    db.putSync(`key ${i}`, text, { durability })
    note(`key ${i}`, text)
  }
  const batch = (from: number, to: number): void => {
    const puts = Array.from({ length: to - from }, (_, i) => {
      const text = value(from + i)
      note(`key ${from + i}`, text)
      return { type: 'put', key: `key ${from + i}`, value: text } as const
    })
    db.batchSync(puts)
  }
  const long = (key: string, length: number): void => {
    const text = `${random.below(1e9)} is long `.repeat(Math.ceil(length / 18))
    db.putSync(key, text)
    note(key, text)
  }
  for (let i = 0; i < 150; i++) put(i, 'none')
  long('long', 60_000)
  long('longer', 100_000)
  long('k'.repeat(20_000), 3000)
  for (let i = 0; i < 100; i += 3) put(i, 'none')
  db.compactSync()
  if (cleared) {
    db.clearSync()
    for (const key of values.keys()) note(key, undefined)
    for (let i = 140; i < 200; i++) put(i, 'os')
  }
  for (let i = 150; i < 230; i++) put(i, random.pick(['os', 'disk', 'none']))
  for (let i = 20; i < 60; i++) {
    db.deleteSync(`key ${i}`, { durability: 'os' })
    note(`key ${i}`, undefined)
  }
  long('long', 50_000)
  db.closeSync()
  db = openAt(environment, form)
  for (let i = 60; i < 120; i++) put(i, 'os')
  batch(230, 260)
  batch(0, 20)
  long('longer', 40_000)
  for (let i = 60; i < 70; i++) put(i, 'disk')
  db.closeSync()
  const content = contentOf(environment)
  return { form, content, values, newest: placesIn(content, form) }
}

function placesIn(content: Content, form: DamagedForm): Entry[] {
  const environment = environmentWith(content)
  const descriptor = runSync(readDescriptor(environment, FOLDER))!
  const { checksum, compression, storeId } = descriptor
  const encryption = descriptor.encryption && {
    cipher: descriptor.encryption.cipher,
    key: runSync(openKey(descriptor.encryption, form.encryption!, FOLDER)),
  }
  const { blocks } = storeForm({ checksum, compression, encryption }, () => new Uint8Array())
  const newest = new Map<string, Entry>()
  for (const [file, bytes] of content) {
    if (!isSegment(file)) continue
    const header = readSegmentHeader(bytes, bytes.length, file, storeId, blocks)!
    const handle = environment.files.open(`${FOLDER}/${file}`, 'read').sync()
    const segment = new Segment(handle, header, blocks, bytes.length, true)
    const walk = new SegmentWalk(segment, FILE_HEADER_BYTES, bytes.length)
    let from = 0
    let found: Omit<Entry, 'to'>[] = []
    for (;;) {
      const step = walk.next()
      if (step === NEED) runSync(walk.fill())
      else if (step === FRAME) {
        from = walk.address
        found = []
      } else if (step === ENTRY) {
        const { entry } = walk
        const { keyLength, sequence, kind, length } = entry
        const name = runSync(readPart(walk, length, keyLength))!
        const key = name.toString('utf8', 1)
        if (kind !== 3) found.push({ key, version: sequence, deleted: kind === 2, file, from })
      } else if (step === COMPLETE) {
        for (const one of found) {
          if ((newest.get(one.key)?.version ?? 0) >= one.version) continue
          newest.set(one.key, { ...one, to: walk.position })
        }
      } else if (step === END) break
      else assert.fail('the store under test is damaged')
    }
    handle.close().sync()
  }
  return [...newest.values()]
}

/** What says honestly that nothing can be read. The last two: of a descriptor that was changed, with its checksum. */
const HONEST: ReadonlySet<string> = new Set<ErrorCode>([
  'CORRUPTION',
  'NOT_FOUND',
  'VERSION',
  'BAD_ENCRYPTION_KEY',
  'MISMATCH',
])

type Outcome = { readonly report: RepairReport; readonly entries: Map<string, string> } | KvarkError

/** Repairs a store with these files; looks at what comes out. */
function tryRepair(
  content: Content,
  form: DamagedForm,
  more: RepairOptions = {},
  believed = true,
): Outcome {
  const environment = environmentWith(content)
  const options = {
    environment,
    ...(form.encryption ? { encryption: form.encryption } : {}),
    ...more,
  }
  let report: RepairReport
  try {
    report = repairSync(FOLDER, TO, options)
  } catch (error) {
    assert.ok(error instanceof KvarkError, `untyped: ${String(error)}`)
    assert.ok(HONEST.has(error.code), String(error.stack))
    assert.equal(environment.files.stat(TO).sync(), undefined, 'nothing is left')
    return error
  }
  const after = contentOf(environment)
  for (const [name, bytes] of content) {
    if (name !== 'LOCK') assert.ok(after.get(name)?.equals(bytes), `${name} was changed`)
  }
  assert.deepEqual(
    [...after.keys()].filter((name) => name !== 'LOCK'),
    [...content.keys()].filter((name) => name !== 'LOCK').sort(),
  )
  const entries = new Map<string, string>()
  if (!believed) {
    // Whoever makes checksums right again can name other codecs, and make keys that no store would write.
    const { problems, entries: count } = verify(environment, form)
    assert.deepEqual([problems, count], [[], report.entries])
    return { report, entries }
  }
  const db = openSync(TO, { engine: 'log', create: false, environment, ...form })
  try {
    const { problems, entries: count } = db.verifySync()
    assert.deepEqual([problems, count], [[], report.entries])
    for (const [key, value] of db.entries()) {
      entries.set(key, value)
      assert.equal(db.getSync(key), value)
    }
    assert.equal(entries.size, report.entries)
    for (const { keys = [] } of report.lost) {
      for (const { key, kept } of keys) {
        const name = Buffer.from(key).toString()
        assert.equal(db.getEntrySync(name)?.version, kept, 'it is told what came in its place')
      }
    }
    // It takes writes, and gives a version to none twice.
    const before = db.stats().sequence
    assert.ok(db.putSync('new', 'value') > before)
  } finally {
    db.closeSync()
  }
  return { report, entries }
}

/** Verifies a repaired store, whatever its codecs are. */
function verify(environment: Environment, form: DamagedForm): VerifyReport {
  const named = describeSync(TO, { environment })
  const bytesAs = (name: string): Codec<Uint8Array> => ({
    name,
    encode: (bytes) => bytes,
    decode: (bytes) => bytes.slice(),
  })
  const codecs = { keys: bytesAs(named.keys), values: bytesAs(named.values) }
  const db = openSync(TO, { engine: 'log', create: false, environment, ...codecs, ...form })
  try {
    return db.verifySync()
  } finally {
    db.closeSync()
  }
}

function expectedOf({ values }: Written): Map<string, string> {
  const expected = new Map<string, string>()
  for (const [key, all] of values) {
    const last = all.at(-1)
    if (last !== undefined) expected.set(key, last)
  }
  return expected
}

const key = new Uint8Array(32).map((_, i) => i * 3)
const FORMS: readonly [string, DamagedForm][] = [
  ['plain', {}],
  ['compressed', { compression: 'lz4' }],
  ['encrypted', { encryption: { key } }],
  ['encrypted and compressed', { encryption: { key }, compression: 'deflate' }],
]

interface Damage {
  readonly hint: string
  readonly content: Content
  /** Checksums were made right again. */
  readonly forged: boolean
}

function damage(random: SeededRandom, { content, form }: Written): Damage {
  const copy = new Map([...content].filter(([name]) => name !== 'LOCK'))
  const names = [...copy.keys()]
  const hints: string[] = []
  let forged = false
  const count = 1 + random.below(random.chance(0.2) ? 30 : 4)
  for (let i = 0; i < count; i++) {
    const name = random.chance(0.85) ? random.pick(names.filter(isSegment)) : random.pick(names)
    const old = copy.get(name)
    if (old === undefined || old.length === 0) continue
    const bytes = Buffer.from(old)
    const at = random.below(bytes.length)
    const sector = at - (at % SECTOR_BYTES)
    const other = random.below(bytes.length / SECTOR_BYTES) * SECTOR_BYTES
    const kind = random.below(12)
    hints.push(`${kind} at ${at} of ${name}`)
    if (kind < 4) bytes[at]! ^= 1 << random.below(8)
    else if (kind === 4) bytes.fill(0, sector, Math.min(bytes.length, sector + SECTOR_BYTES))
    else if (kind === 5) {
      const window = at - (at % WINDOW_BYTES)
      bytes.fill(0, window, Math.min(bytes.length, window + WINDOW_BYTES))
    } else if (kind === 6) {
      bytes.copyWithin(sector, other, other + SECTOR_BYTES)
      old.copy(bytes, other, sector, sector + SECTOR_BYTES)
    } else if (kind === 7) bytes.set(random.bytes(Math.min(3000, bytes.length - at)), at)
    else if (kind === 8) {
      copy.set(name, bytes.subarray(0, at))
      continue
    } else if (kind === 9) {
      if (random.chance(0.5)) copy.delete(name)
      else copy.set(name, Buffer.from(random.bytes(random.below(5000))))
      continue
    } else if (kind === 10) {
      copy.set(name, Buffer.from(copy.get(random.pick([...copy.keys()]))!))
      continue
    } else if (random.chance(0.5) && bytes.length === content.get(name)!.length) {
      bytes[at]! ^= 1 << random.below(8)
      repairChecksum(name, bytes, old, at, form)
      forged = true
    } else bytes[random.below(Math.min(1100, bytes.length))] = random.below(256)
    copy.set(name, bytes)
  }
  return { hint: hints.join(', '), content: copy, forged }
}

/** Whether the file is there as far as `place` needs it: its frame, and a copy of the header of the segment. */
function isUntouched(place: Entry, content: Content, damaged: Content): boolean {
  const old = content.get(place.file)!
  const now = damaged.get(place.file)
  if (now === undefined) return false
  const same = (from: number, to: number): boolean =>
    now.length >= to && now.subarray(from, to).equals(old.subarray(from, to))
  const hasHeader = same(0, 80) || same(HEADERS_AT[1], HEADERS_AT[1] + 80)
  return hasHeader && now.length >= FILE_HEADER_BYTES && same(place.from, place.to)
}

for (const [name, form] of FORMS) {
  describe(name, () => {
    const written = write(form)
    const { content, values, newest } = written

    test('without damage the new store is the same, versions and all', () => {
      const outcome = tryRepair(content, form)
      assert.ok(!(outcome instanceof KvarkError))
      assert.deepEqual(outcome.report.lost, [])
      assert.deepEqual(outcome.entries, expectedOf(written))
      const environment = environmentWith(content)
      const encryption = form.encryption ? { encryption: form.encryption } : {}
      repairSync(FOLDER, TO, { environment, ...encryption })
      const db = openSync(TO, { engine: 'log', environment, ...form })
      for (const { key, version, deleted } of newest) {
        assert.equal(db.getEntrySync(key)?.version, deleted ? undefined : version)
      }
      db.closeSync()
    })

    test('whatever is damaged: an honest error, or a store of values that were written', () => {
      const random = new SeededRandom(form.encryption ? 11 : 3)
      let repaired = 0
      let losses = 0
      for (let i = 0; i < 150; i++) {
        const { hint, content: damaged, forged } = damage(random, written)
        try {
          const names = i % 2 === 0 ? { keys: 'utf8', values: 'utf8' } : {}
          const believed = !forged || form.encryption !== undefined
          const outcome = tryRepair(damaged, form, names, believed)
          if (outcome instanceof KvarkError) continue
          repaired++
          if (outcome.report.lost.length > 0) losses++
          for (const [key, value] of outcome.entries) {
            if (believed) assert.ok(values.get(key)?.includes(value), `${key} has a wrong value`)
          }
          if (forged) continue
          let complete = true
          for (const place of newest) {
            if (!isUntouched(place, content, damaged)) {
              complete = false
              continue
            }
            const expected = values.get(place.key)!.at(-1)
            assert.equal(
              outcome.entries.get(place.key),
              expected,
              `${place.key} of ${place.file} at ${place.from}`,
            )
          }
          if (!complete) assert.notEqual(outcome.report.lost.length, 0, 'the loss is told')
        } catch (error) {
          throw new Error(`run ${i}: ${hint}`, { cause: error })
        }
      }
      assert.ok(repaired > 80 && losses > 60, `${repaired} repaired, ${losses} with losses`)
    })
  })
}

/** Changes the files of a store; what comes out of a repair is expected to be a store. */
function repaired(
  { content, form }: Written,
  change: (files: Map<string, Buffer>) => void,
  more: RepairOptions = {},
): { report: RepairReport; entries: Map<string, string> } {
  const files = new Map([...content].map(([name, bytes]) => [name, Buffer.from(bytes)]))
  change(files)
  const outcome = tryRepair(files, form, more)
  if (outcome instanceof KvarkError) throw outcome
  return outcome
}

test('a list of files that is lost or damaged takes nothing with it', () => {
  for (const [, form] of FORMS) {
    const written = write(form)
    const without = repaired(written, (files) => files.delete('MANIFEST'))
    const damaged = repaired(written, (files) => files.get('MANIFEST')!.fill(0, 10, 20))
    for (const { report, entries } of [without, damaged]) {
      assert.deepEqual(entries, expectedOf(written))
      assert.deepEqual(
        report.lost.map(({ path }) => path),
        [`${FOLDER}/MANIFEST`],
      )
    }
  }
})

test('a stored index that is lost or damaged is no loss', () => {
  const written = write({})
  const { report, entries } = repaired(written, (files) => {
    for (const [name, bytes] of files) if (name.endsWith('.index')) bytes.fill(1)
  })
  assert.deepEqual([report.lost, entries], [[], expectedOf(written)])
})

test('headers: of two copies one will do, and without both what still tells the life of the file', () => {
  for (const [, form] of FORMS) {
    const written = write(form)
    const cut =
      (from: number, to: number) =>
      (files: Map<string, Buffer>): void => {
        for (const [name, bytes] of files) if (isSegment(name)) bytes.fill(0, from, to)
      }
    for (const change of [cut(0, HEADERS_AT[1]), cut(HEADERS_AT[1], FILE_HEADER_BYTES)]) {
      const { report, entries } = repaired(written, change)
      assert.deepEqual([report.lost, entries], [[], expectedOf(written)])
    }
    // The list of files knows the life of those that are older than it is.
    const { entries } = repaired(written, cut(0, FILE_HEADER_BYTES))
    assert.ok(entries.size > 0)
    const scratched = repaired(written, (files) => {
      files.delete('MANIFEST')
      for (const [name, bytes] of files) {
        if (isSegment(name)) for (const at of HEADERS_AT) bytes[at + 3]! ^= 1
      }
    })
    assert.deepEqual(scratched.entries, expectedOf(written))
  }
})

test('a clear is heeded, also without the list of files', () => {
  const written = write({}, true)
  const { report, entries } = repaired(written, () => {})
  assert.deepEqual([report.lost, entries], [[], expectedOf(written)])
  const without = repaired(written, (files) => files.delete('MANIFEST'))
  assert.deepEqual(without.entries, expectedOf(written))
})

test('a descriptor that is lost: what the data tells, and the codecs as they are given', () => {
  const codecs = { keys: 'utf8', values: 'utf8' }
  const forms: DamagedForm[] = [
    {},
    { compression: 'lz4' },
    { compression: 'deflate' },
    { checksum: 'xxh64' },
    { checksum: 'xxh64', compression: 'lz4' },
  ]
  for (const form of forms) {
    const written = write(form)
    const change = (files: Map<string, Buffer>): void => {
      files.get('KVARK')![20]! ^= 1
    }
    const { report, entries } = repaired(written, change, codecs)
    assert.deepEqual(entries, expectedOf(written))
    assert.deepEqual(
      report.lost.map(({ path }) => path),
      [`${FOLDER}/KVARK`],
    )
    assert.throws(() => repaired(written, change), /give the options 'keys' and 'values'/)
  }
  const vault = write({ encryption: { key } })
  assert.throws(
    () => repaired(vault, (files) => files.delete('KVARK'), codecs),
    /only that file holds the key of its data\. Restore it/,
  )
})

test('what a crash leaves at the end of the journal is what open makes of it, and no loss', () => {
  for (const [, form] of FORMS) {
    const environment = environmentWith(new Map())
    let db = openAt(environment, form)
    for (let i = 0; i < 50; i++) db.putSync(`key ${i}`, 'x'.repeat(i * 20))
    db.closeSync()
    db = openAt(environment, form)
    for (let i = 0; i < 10; i++) db.putSync(`key ${i}`, 'second')
    const batch = Array.from(
      { length: 40 },
      (_, i) => ({ type: 'put', key: `batch ${i}`, value: 'y'.repeat(1000) }) as const,
    )
    db.batchSync(batch, { durability: 'os' })
    const crashed = contentOf(environment)
    db.closeSync()
    const name = [...crashed.keys()]
      .filter((one) => one.endsWith('.log'))
      .sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))[0]!
    const whole = crashed.get(name)!
    const written = { form, content: crashed, values: new Map(), newest: [] }
    for (const cut of [whole.length - 1, whole.length - 9000, whole.length - 30_000]) {
      const content = new Map(crashed).set(name, whole.subarray(0, cut))
      const opened = openAt(environmentWith(content), form)
      const expected = new Map(opened.entries())
      opened.closeSync()
      const { report, entries } = repaired(written, (files) => files.set(name, content.get(name)!))
      assert.deepEqual([entries, report.lost], [expected, []])
    }
  }
})

test('a segment that is gone before any list of files names it is told of', () => {
  const environment = environmentWith(new Map())
  const db = openAt(environment)
  for (let i = 0; i < 40; i++) db.putSync(`key ${i}`, 'x'.repeat(3000), { durability: 'os' })
  const written = { form: {}, content: contentOf(environment), values: new Map(), newest: [] }
  db.closeSync()
  const { report } = repaired(written, (files) => files.delete('2.log'))
  assert.deepEqual(
    report.lost.map(({ path, reason }) => [path, reason]),
    [[`${FOLDER}/2.log`, 'the file is missing']],
  )
})

test('of a batch that is damaged in part what survives is there, and the place is told', () => {
  const environment = environmentWith(new Map())
  const db = openAt(environment)
  const batch = Array.from(
    { length: 28 },
    (_, i) => ({ type: 'put', key: `key ${i}`, value: `${i} `.repeat(500) }) as const,
  )
  db.batchSync(batch)
  db.putSync('last', 'value')
  db.closeSync()
  const written = { form: {}, content: contentOf(environment), values: new Map(), newest: [] }
  const [name] = [...written.content.keys()].filter(isSegment)
  const { report, entries } = repaired(written, (files) => {
    const bytes = files.get(name!)!
    bytes[WINDOW_BYTES + 5000]! ^= 1
  })
  assert.ok(entries.has('key 0') && !entries.has('key 27') && entries.has('last'))
  assert.equal(report.lost.length, 1)
  const { from, to } = report.lost[0]!
  assert.ok(from <= WINDOW_BYTES + 5000 && to > WINDOW_BYTES + 5000)
})

test('a value that holds a store is never taken for one', () => {
  const { content } = write({})
  const environment = environmentWith(new Map())
  const db = openSync(FOLDER, { engine: 'log', values: 'bytes', environment })
  const allowed = new Set<string>()
  for (const [name, bytes] of content) {
    db.putSync(name, bytes)
    allowed.add(name)
  }
  db.closeSync()
  const own = contentOf(environment)
  const again = openSync(FOLDER, { engine: 'log', values: 'bytes', environment })
  for (const [name, bytes] of own) {
    again.putSync(`own ${name}`, bytes)
    allowed.add(`own ${name}`)
  }
  again.closeSync()
  const random = new SeededRandom(5)
  for (let i = 0; i < 40; i++) {
    const files = new Map([...contentOf(environment)].filter(([name]) => name !== 'LOCK'))
    for (const bytes of files.values()) {
      if (bytes.length < 10_000) continue
      for (let k = 0; k < 6; k++) bytes[random.below(bytes.length)]! ^= 255
    }
    const world = environmentWith(files)
    repairSync(FOLDER, TO, { environment: world })
    const copy = openSync(TO, { engine: 'log', values: 'bytes', environment: world })
    for (const name of copy.keys()) assert.ok(allowed.has(name), name)
    copy.closeSync()
  }
})

test('a device that cannot read some places loses these and nothing else', async () => {
  const written = write({})
  const environment = environmentWith(written.content)
  const { files } = environment
  const segments = [...written.content.keys()].filter(isSegment)
  let refused = 0
  const open = (path: string, mode: OpenMode): FileHandle => {
    const handle = files.open(path, mode).sync()
    if (mode !== 'read' || !segments.some((name) => path === `${FOLDER}/${name}`)) return handle
    const read = handle.read.bind(handle)
    handle.read = (target, offset, length, position) =>
      immediate(() => {
        if (position < 8192 && position + length > 4096) {
          refused++
          throw new KvarkError('IO', 'EIO on purpose.', { path, errno: 'EIO' })
        }
        return read(target, offset, length, position).sync()
      })
    return handle
  }
  const failing = otherFiles(files, {
    shareable: false,
    open: (path, mode) => immediate(() => open(path, mode)),
  })
  const options = { environment: { ...environment, files: failing } }
  const { entries, lost } = await repair(FOLDER, TO, options)
  assert.ok(refused > 0 && entries > 50 && lost.length > 0)
  for (const { from, to } of lost) assert.ok(from < 8192 && to > 4096)
  const db = openSync(TO, { engine: 'log', environment })
  for (const [key, value] of db.entries()) assert.ok(written.values.get(key)!.includes(value))
  for (const { key, file, from } of written.newest) {
    if (file && from >= 8192) assert.equal(db.getSync(key), written.values.get(key)!.at(-1))
  }
  db.closeSync()
})

test('expiry is kept', () => {
  const place = new Place({ engine: log, environments: ['memory'] }, 'memory')
  const clock = new SteppedEnvironment(place.environment, 1_700_000_000_000)
  const raw = openRaw(place, clock, true)
  raw.put('soon', 'value', clock.time + 1000)
  raw.put('never', 'value', 0)
  raw.close()
  const codecs = { keys: 'utf8', values: 'utf8' }
  repairSync(place.path, TO, { environment: clock, ...codecs })
  const db = openSync(TO, { engine: 'log', environment: clock })
  assert.deepEqual([db.getSync('soon'), db.getSync('never')], ['value', 'value'])
  clock.time += 1000
  assert.deepEqual([db.getSync('soon'), db.getSync('never')], [undefined, 'value'])
  db.closeSync()
})

test('it is refused as other verbs refuse, and nothing is left of what is stopped', async () => {
  const written = write({ encryption: { key } })
  const environment = environmentWith(written.content)
  const encryption = { key }
  const refused = async (
    code: ErrorCode,
    options: object,
    from = FOLDER,
    to = TO,
  ): Promise<KvarkError> => {
    let thrown: unknown
    const all = { environment, encryption, ...options }
    assert.throws(
      () => repairSync(from, to, all),
      (error) => {
        thrown = error
        return error instanceof KvarkError && error.code === code
      },
    )
    await assert.rejects(repair(from, to, all), { code })
    assertAdvice(thrown as KvarkError)
    return thrown as KvarkError
  }
  await refused('BAD_ENCRYPTION_KEY', { encryption: undefined })
  await refused('BAD_ENCRYPTION_KEY', { encryption: { key: new Uint8Array(32) } })
  await refused('BAD_ENCRYPTION_KEY', { encryption: { passphrase: 'wrong' } })
  await refused('MISMATCH', { encryption: { key, cipher: 'aes-128-gcm' } })
  await refused('MISMATCH', { values: 'json' })
  await refused('NOT_FOUND', {}, '/nowhere')
  await refused('INVALID_ARGUMENT', {}, FOLDER, FOLDER)
  await refused('INVALID_ARGUMENT', {}, FOLDER, `${FOLDER}/in`)
  await refused('INVALID_ARGUMENT', { encrypton: 1 })
  await refused('INVALID_ARGUMENT', { progress: 1 })
  await refused('INVALID_ARGUMENT', { signal: 1 })
  await refused('INVALID_ARGUMENT', { keys: 7 })
  await assert.rejects(repair(FOLDER, ':memory:'), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(repair(':memory:', TO), { code: 'INVALID_ARGUMENT' })
  const open = openAt(environment, written.form)
  assert.equal((await refused('LOCKED', {})).pid, process.pid)
  open.closeSync()
  assert.equal(environment.files.stat(TO).sync(), undefined)

  const told: number[] = []
  const controller = new AbortController()
  const reason = new Error('enough')
  const progress = (done: number, total: number): void => {
    assert.ok(done <= total)
    told.push(done)
    if (done > total / 2) controller.abort(reason)
  }
  const { signal } = controller
  const stopped = repair(FOLDER, TO, { environment, encryption, signal, progress })
  await assert.rejects(stopped, (error) => error === reason)
  assert.ok(told.length > 3)
  assert.equal(environment.files.stat(TO).sync(), undefined)

  environment.files.makeFolder(TO).sync()
  const { entries } = await repair(FOLDER, TO, { environment, encryption })
  assert.equal(entries, expectedOf(written).size)
  await refused('INVALID_ARGUMENT', {})
  const plain = environmentWith(write({}).content)
  await refused('MISMATCH', { environment: plain })
  // It has another id: a file of the first store is not taken for one of it.
  const ids = [FOLDER, TO].map((path) => describeSync(path, { environment }).storeId)
  assert.notEqual(ids[0], ids[1])
})

test('a full disk leaves nothing of a repair', () => {
  const { content } = write({})
  const environment = environmentWith(content)
  const files = new FaultyFiles(environment.files)
  files.fault = { call: 'write', code: 'NO_SPACE', path: `${TO}/1` }
  assert.throws(() => repairSync(FOLDER, TO, { environment: { ...environment, files } }), {
    code: 'NO_SPACE',
    message: /^The disk is full, so nothing was repaired/,
  })
  assert.equal(environment.files.stat(TO).sync(), undefined)
})
