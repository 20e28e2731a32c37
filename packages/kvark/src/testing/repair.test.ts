import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RepairReport } from '../engine/facts.ts'
import { runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { storeForm } from '../storage/block-form.ts'
import { readDescriptor } from '../storage/descriptor.ts'
import { Segment } from '../storage/segment.ts'
import {
  FILE_HEADER_BYTES,
  readSegmentHeader,
  SECTOR_BYTES,
  WINDOW_BYTES,
} from '../storage/segment-format.ts'
import {
  advance,
  COMPLETE,
  END,
  ENTRY,
  FRAME,
  NEED,
  readSpread,
  SegmentWalk,
} from '../storage/segment-walk.ts'
import { openKey } from '../storage/store-key.ts'
import { openSync } from '../store/open.ts'
import { type RepairOptions, repairSync } from '../store/repair.ts'
import {
  type Content,
  contentOf,
  type DamagedForm,
  environmentWith,
  FOLDER,
  openAt,
} from './damage.ts'
import { Random } from './random.ts'
import { isSegment, repair as repairChecksum } from './tampering.ts'

const TO = '/repaired'

/** A store, and everything that was ever written to it. */
interface Written {
  readonly form: DamagedForm
  readonly content: Content
  /** All values of each key, in the order of writing; `undefined`: it was deleted. */
  readonly values: ReadonlyMap<string, readonly (string | undefined)[]>
  readonly newest: readonly Place[]
}

/** Where the newest entry of a key lies. */
interface Place {
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
  const environment = environmentWith(new Map())
  const values = new Map<string, (string | undefined)[]>()
  const random = new Random(7)
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

function placesIn(content: Content, form: DamagedForm): Place[] {
  const environment = environmentWith(content)
  const descriptor = runSync(readDescriptor(environment, FOLDER))!
  const { checksum, compression, storeId } = descriptor
  const encryption = descriptor.encryption && {
    cipher: descriptor.encryption.cipher,
    key: runSync(openKey(descriptor.encryption, form.encryption!, FOLDER)),
  }
  const { blocks } = storeForm({ checksum, compression, encryption }, () => new Uint8Array())
  const newest = new Map<string, Place>()
  for (const [file, bytes] of content) {
    if (!isSegment(file)) continue
    const header = readSegmentHeader(bytes, bytes.length, file, storeId, blocks)!
    const handle = environment.files.open(`${FOLDER}/${file}`, 'read').sync()
    const segment = new Segment(handle, header, blocks, bytes.length, true)
    const walk = new SegmentWalk(segment, FILE_HEADER_BYTES, bytes.length)
    let from = 0
    let found: Omit<Place, 'to'>[] = []
    for (;;) {
      const step = walk.next()
      if (step === NEED) runSync(walk.fill())
      else if (step === FRAME) {
        from = walk.address
        found = []
      } else if (step === ENTRY) {
        const { entry, address } = walk
        const { keyLength, sequence, kind, length } = entry
        const name = walk.spread
          ? runSync(readSpread(segment, advance(blocks, address, length), keyLength))
          : walk.extent.subarray(walk.at + length, walk.at + length + keyLength)
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

type Outcome = { readonly report: RepairReport; readonly entries: Map<string, string> } | KvarkError

/** Repairs a store with these files; looks at what comes out. */
function tryRepair(content: Content, form: DamagedForm, more: RepairOptions = {}): Outcome {
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
    assert.ok(error instanceof KvarkError, `untyped: ${error}`)
    assert.ok(['CORRUPTION', 'NOT_FOUND', 'VERSION'].includes(error.code), String(error.stack))
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
  const db = openSync(TO, { engine: 'log', create: false, environment, ...form })
  const entries = new Map<string, string>()
  try {
    for (const [key, value] of db.entries()) {
      entries.set(key, value)
      assert.equal(db.getSync(key), value)
    }
    const { problems } = db.verifySync()
    assert.deepEqual(problems, [])
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

function damage(random: Random, { content, form }: Written): Damage {
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
    } else if (random.chance(0.5)) {
      bytes[at]! ^= 1 << random.below(8)
      repairChecksum(name, bytes, old, at, form)
      forged = true
    } else bytes[random.below(Math.min(1100, bytes.length))] = random.below(256)
    copy.set(name, bytes)
  }
  return { hint: hints.join(', '), content: copy, forged }
}

/** Whether the file is there as far as `place` needs it: its frame, and a copy of the header of the segment. */
function isUntouched(place: Place, content: Content, damaged: Content): boolean {
  const old = content.get(place.file)!
  const now = damaged.get(place.file)
  if (now === undefined) return false
  const same = (from: number, to: number): boolean =>
    now.length >= to && now.subarray(from, to).equals(old.subarray(from, to))
  const hasHeader = same(0, 80) || same(SECTOR_BYTES, SECTOR_BYTES + 80)
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
      const random = new Random(form.encryption ? 11 : 3)
      let repaired = 0
      let losses = 0
      for (let i = 0; i < 150; i++) {
        const { hint, content: damaged, forged } = damage(random, written)
        try {
          const names = i % 2 === 0 ? { keys: 'utf8', values: 'utf8' } : {}
          const outcome = tryRepair(damaged, form, names)
          if (outcome instanceof KvarkError) continue
          repaired++
          if (outcome.report.lost.length > 0) losses++
          const believed = !forged || form.encryption !== undefined
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
