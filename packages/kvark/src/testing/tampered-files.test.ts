import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseArgs } from 'node:util'
import { SeededRandom } from '../bytes/random.ts'
import { FILE_HEADER_BYTES, HEADERS_AT } from '../storage/segment-format.ts'
import { partOf } from './crash/seeds.ts'
import { type Content, type DamagedForm, openAt } from './damage.ts'
import {
  blocksOf,
  changed,
  closeFrame,
  copyOf,
  headerBytesOf,
  historyOf,
  isSegment,
  lastOf,
  look,
  repair,
  repairBlock,
  repairHeader,
  resealed,
  type Told,
} from './tampering.ts'

/** Every byte of every file, instead of all that are special and some of the others: takes minutes. */
const { every } = parseArgs({ options: { every: { type: 'boolean' } }, strict: false }).values

const key = new Uint8Array(32).map((_, i) => i * 5)
const ENCRYPTED: readonly [string, DamagedForm][] = [
  ['encrypted', { encryption: { key } }],
  ['encrypted and compressed', { encryption: { key }, compression: 'lz4' }],
]
const SOME_BYTES = partOf(4, 0.5)
const BITS = [1, 0x80, 0xff].slice(0, partOf(3, 0.6))

function noticed({ refused, later }: Told): boolean {
  return refused !== undefined || later.length > 0
}

/** Bytes to try: of all headers and trailers, and some of the rest. */
function placesIn(name: string, bytes: Buffer, form: DamagedForm, random: SeededRandom): number[] {
  if (every) return [...bytes.keys()]
  const places = new Set<number>()
  const add = (from: number, to: number, step = 1): void => {
    const first = from + random.below(step)
    for (let at = first; at < Math.min(to, bytes.length); at += step) places.add(at)
  }
  if (name.endsWith('.index')) {
    add(0, 110, 5)
    add(bytes.length - 30, bytes.length, 2)
  } else if (!isSegment(name)) add(0, bytes.length, name === 'KVARK' ? 4 : 13)
  else {
    add(0, 100, 11)
    add(HEADERS_AT[1], HEADERS_AT[1] + 100, 20)
    const blocks = blocksOf(bytes, form)
    const headerBytes = headerBytesOf(form)
    for (const { at } of [blocks[0]!, random.pick(blocks)]) add(at, at + headerBytes + 2, 6)
    for (let i = 0; i < SOME_BYTES; i++) {
      const { at, storedEnd, end } = random.pick(blocks)
      places.add(at + random.below(headerBytes))
      places.add(storedEnd - 1)
      if (end < bytes.length) places.add(end)
    }
  }
  for (let i = 0; i < SOME_BYTES; i++) places.add(random.below(bytes.length))
  return [...places]
}

for (const [title, form] of ENCRYPTED) {
  const history = historyOf(form)
  const content = lastOf(history)
  const names = [...content.keys()].filter((name) => name !== 'LOCK')
  const segments = names.filter(isSegment)
  const close = closeFrame(content, form)

  /** Tries it; the text says what nobody noticed. */
  const unseen = (attack: Content, hint: string): string[] => {
    try {
      return noticed(look(attack, history)) ? [] : [hint]
    } catch (cause) {
      return [`${hint}: ${(cause as Error).message}`]
    }
  }

  describe(`tampering, ${title}`, () => {
    test('the store has every kind of file, and nothing is wrong with it', () => {
      assert.deepEqual(look(content, history), { refused: undefined, later: [] })
      assert.ok(segments.filter((name) => name.endsWith('.packed')).length > 1)
      assert.ok(segments.filter((name) => name.endsWith('.log')).length > 1)
      assert.ok(names.some((name) => name.endsWith('.index')))
    })

    test('a changed byte is noticed, also with every checksum made right', () => {
      const random = new SeededRandom(30)
      const failures: string[] = []
      const attempt = (name: string, at: number, bits: number, repaired: boolean): void => {
        const original = content.get(name)!
        const bytes = Buffer.from(original)
        bytes[at]! ^= bits
        if (repaired) repair(name, bytes, original, at, form)
        if (bytes.equals(original)) return
        const found = unseen(changed(content, name, bytes), `${name}, byte ${at} ^ ${bits}`)
        // Without the mark of a clean close the store is as a crash right before it leaves it: nothing is lost.
        const exempt = name === close.name && at >= close.at
        failures.push(...(exempt ? found.filter((text) => text.includes(':')) : found))
      }
      for (const name of names) {
        for (const at of placesIn(name, content.get(name)!, form, random)) {
          if (every) attempt(name, at, random.pick(BITS), false)
          attempt(name, at, random.pick(BITS), every === true || random.chance(0.7))
        }
      }
      assert.deepEqual(failures, [])
    })

    test('a changed header of a segment, both copies and their checksums made right', () => {
      const failures: string[] = []
      for (const name of segments) {
        const original = content.get(name)!
        for (let at = 0; at < 60; at += every ? 1 : 5) {
          const bytes = Buffer.from(original)
          bytes[at]! ^= 1
          bytes[at + HEADERS_AT[1]]! ^= 1
          repairHeader(bytes, 0)
          repairHeader(bytes, HEADERS_AT[1])
          failures.push(...unseen(changed(content, name, bytes), `${name}, header byte ${at}`))
        }
      }
      assert.deepEqual(failures, [])
    })

    test('a block that is taken away, or the end of a file from it on', () => {
      const random = new SeededRandom(32)
      const failures: string[] = []
      for (const name of segments) {
        const original = content.get(name)!
        for (const { at, end } of blocksOf(original, form)) {
          if (name === close.name && at >= close.at) continue
          if (!every && random.chance(0.8)) continue
          const zeroed = Buffer.from(original)
          zeroed.fill(0, at, end)
          failures.push(...unseen(changed(content, name, zeroed), `${name}, zeros at ${at}`))
          const tail = Buffer.from(original)
          tail.fill(0, at)
          failures.push(...unseen(changed(content, name, tail), `${name}, zeros from ${at} on`))
          const cut = Buffer.from(original.subarray(0, at))
          failures.push(...unseen(changed(content, name, cut), `${name}, cut at ${at}`))
          for (const length of [8, 12]) {
            const headless = Buffer.from(original)
            headless.writeUInt16LE(0, at + length)
            failures.push(
              ...unseen(changed(content, name, headless), `${name}, no length at ${at + length}`),
            )
          }
        }
      }
      assert.deepEqual(failures, [])
    })

    test('the same with the stored index gone, so that all is built anew', () => {
      const failures: string[] = []
      const index = names.find((name) => name.endsWith('.index'))!
      const without = changed(content, index, undefined)
      for (const name of segments) {
        const original = content.get(name)!
        for (const { at, end } of blocksOf(original, form)) {
          if (name === close.name && at >= close.at) continue
          const zeroed = Buffer.from(original)
          zeroed.fill(0, at, end)
          // The warning of the missing index is no notice of the block.
          const { refused, later } = look(changed(without, name, zeroed), history)
          if (!refused && later.length < 2) failures.push(`${name}, zeros at ${at}`)
        }
      }
      assert.deepEqual(failures, [])
    })

    test('blocks that change places, in a file, between files and between stores', () => {
      const failures: string[] = []
      const random = new SeededRandom(31)
      const twin = lastOf(historyOf(form))
      const sources = new Map<string, Buffer>()
      for (const name of segments) {
        sources.set(name, content.get(name)!)
        if (twin.has(name)) sources.set(`the twin's ${name}`, twin.get(name)!)
      }
      for (const name of segments) {
        const original = content.get(name)!
        for (const target of blocksOf(original, form)) {
          if (name === close.name && target.at >= close.at) continue
          if (!every && random.chance(0.9)) continue
          for (const [from, bytes] of sources) {
            const fitting = blocksOf(bytes, form).filter(
              (one) =>
                one.end - one.at <= target.end - target.at &&
                (bytes !== original || one.at !== target.at),
            )
            if (fitting.length === 0) continue
            const source = random.pick(fitting)
            for (const repaired of [false, true]) {
              const moved = Buffer.from(original)
              moved.fill(0, target.at, target.end)
              bytes.copy(moved, target.at, source.at, source.end)
              if (repaired) repairBlock(moved, target.at, form)
              const hint = `${from}, block ${source.at} at ${target.at} of ${name}`
              failures.push(...unseen(changed(content, name, moved), hint))
            }
          }
        }
      }
      assert.deepEqual(failures, [])
    })

    test('files that change their names, or come from another store', () => {
      const failures: string[] = []
      const twin = lastOf(historyOf(form))
      const dressed = (bytes: Buffer, name: string): Buffer => {
        const copy = Buffer.from(bytes)
        if (!isSegment(name) || copy.length < FILE_HEADER_BYTES) return copy
        for (const at of HEADERS_AT) {
          content.get(name)!.copy(copy, at + 16, 16, 32)
          copy.writeUInt32LE(Number.parseInt(name, 10), at + 36)
          repairHeader(copy, at)
        }
        return copy
      }
      for (const name of names) {
        failures.push(...unseen(changed(content, name, undefined), `${name} removed`))
        for (const bytes of [
          twin.get(name),
          ...[...twin]
            .filter(([one]) => isSegment(one) === isSegment(name) && one !== 'LOCK')
            .map(([, one]) => one),
        ]) {
          if (bytes)
            failures.push(
              ...unseen(changed(content, name, dressed(bytes, name)), `${name} of a twin`),
            )
        }
        for (const other of names) {
          if (other === name) continue
          const hint = `${other} in the place of ${name}`
          const copy = changed(content, name, dressed(content.get(other)!, name))
          failures.push(...unseen(copy, hint))
          const swapped = changed(copy, other, dressed(content.get(name)!, other))
          failures.push(...unseen(swapped, `${hint}, and the other way round`))
        }
      }
      assert.deepEqual(failures, [])
    })

    test('an old copy of any one file', () => {
      const failures: string[] = []
      for (const [i, old] of [...history.closed, history.lost].entries()) {
        for (const [name, bytes] of old) {
          const now = content.get(name)
          if (name === 'LOCK' || now === undefined || now.equals(bytes)) continue
          failures.push(...unseen(changed(content, name, bytes), `${name} of close ${i}`))
        }
      }
      assert.deepEqual(failures, [])
    })

    test('at every clean close, an old copy of any one file of before', () => {
      const failures: string[] = []
      for (const [n, now] of history.closed.entries()) {
        for (const [i, old] of history.closed.slice(0, n).entries()) {
          for (const [name, bytes] of old) {
            if (name === 'LOCK' || !now.has(name) || now.get(name)!.equals(bytes)) continue
            const told = lookOnly(changed(now, name, bytes), form)
            if (!told) failures.push(`close ${n}: ${name} of close ${i}`)
          }
        }
      }
      assert.deepEqual(failures, [])
    })

    test('a descriptor that says that nothing is encrypted', () => {
      const line = content.get('KVARK')!.toString('latin1').split('\n')[0]!
      const plain = line.replace(/"encryption":\{[^}]*\}/, '"encryption":null')
      const bytes = resealed(plain)
      // Whoever gives a key is told that it is not such a store; nothing of it is read.
      const environment = copyOf(changed(content, 'KVARK', bytes))
      assert.throws(() => openAt(environment, form), { code: 'MISMATCH' })
    })

    test('what the descriptor says of key and options', () => {
      const text = content.get('KVARK')!.toString('latin1').split('\n')[0]!
      const failures: string[] = []
      const rewritten = (from: RegExp, to: string): void => {
        const line = text.replace(from, to)
        assert.notEqual(line, text)
        failures.push(...unseen(changed(content, 'KVARK', resealed(line)), line))
      }
      rewritten(/"hashSeed":\d+/, '"hashSeed":1')
      rewritten(/"compression":"\w+"/, '"compression":"deflate"')
      rewritten(/aes-256-gcm/, 'aes-128-gcm')
      rewritten(/"kvark":1/, '"kvark":0')
      rewritten(/"values":"\w+"/, '"values":"bytes"')
      rewritten(/"proof":"\w+"/, '"proof":null')
      rewritten(/"proof"/, '"poof"')
      // It is random.
      rewritten(/"storeId":"../, `"storeId":"${text.includes('"storeId":"00') ? 'ff' : '00'}`)
      assert.deepEqual(failures, [])
    })
  })
}

test('compressed only: a changed byte is noticed, or changes nothing', () => {
  const history = historyOf({ compression: 'lz4' })
  const content = lastOf(history)
  const close = closeFrame(content, history.form)
  const random = new SeededRandom(33)
  const failures: string[] = []
  for (const [name, original] of content) {
    if (name === 'LOCK') continue
    for (const at of placesIn(name, original, history.form, random)) {
      const bytes = Buffer.from(original)
      bytes[at]! ^= random.pick(BITS)
      const told = look(changed(content, name, bytes), history)
      if (!noticed(told) && (name !== close.name || at < close.at))
        failures.push(`${name}, byte ${at}`)
    }
  }
  assert.deepEqual(failures, [])
})

/** Whether a store of which the values do not matter tells of anything. */
function lookOnly(content: Content, form: DamagedForm): boolean {
  try {
    const db = openAt(copyOf(content), form)
    try {
      return db.verifySync().problems.length > 0
    } finally {
      db.closeSync()
    }
  } catch {
    return true
  }
}
