/** Reads a stored index as `docs/format/log-index.md` says, and tells what it must hold. It imports nothing of kvark. */

import { crc32 } from 'node:zlib'
import { check, decrypt, ENVELOPE, type StoredContent, type StoredFiles } from './format-reader.ts'

const SHARDS = 256
const RECORD = 24
const SLOT_NUMBER = 2 ** 26

interface Footer {
  readonly format: number
  readonly storeId: string
  readonly life: number
  readonly clearedSequence: number
  readonly segments: readonly { number: number; slot: number; slots: number }[]
}

export interface IndexedPlaces {
  /** As `hash file@address`, sorted: what the index holds, and what it has to hold by the segments. */
  readonly held: readonly string[]
  readonly wanted: readonly string[]
}

/** `undefined` where the store has no stored index. */
export function readIndex(files: StoredFiles, content: StoredContent): IndexedPlaces | undefined {
  const { descriptor, manifest, keys, entries } = content
  if (!manifest.index) return undefined
  const { number, life } = manifest.index
  const name = `${number}.index`
  const bytes = files.get(name)
  check(bytes !== undefined, `${name} is missing`)
  const end = bytes.length - 16
  const magic = 'kvarkidx'
  check(bytes.toString('latin1', 0, 8) === magic, `${name}: magic`)
  check(bytes.toString('latin1', end + 8) === magic, `${name}: magic at the end`)
  const start = end - bytes.readUInt32LE(end)
  const stored = bytes.subarray(start, end)
  check(crc32(stored) === bytes.readUInt32LE(end + 4), `${name}: checksum of the footer`)
  const plain = keys
    ? decrypt(keys.cipher, keys.of(name, 0), stored, stored.subarray(ENVELOPE), Buffer.from(name))
    : stored
  const footer = JSON.parse(plain.toString('utf8', SHARDS * RECORD)) as Footer
  check(footer.format === 1 && footer.storeId === descriptor.storeId, `${name}: store`)
  check(footer.life === life, `${name}: life`)

  const held: string[] = []
  const sequences: number[] = []
  let at = 8
  for (let shard = 0; shard < SHARDS; shard++) {
    const record = plain.subarray(shard * RECORD, (shard + 1) * RECORD)
    const count = record.readUInt32LE(0)
    const slots = record.readUInt32LE(4)
    sequences.push(record.readUIntLE(8, 6))
    if (slots === 0) {
      check(count === 0, `${name}: count of shard ${shard}`)
      continue
    }
    const from = at + (keys ? 32 : 0)
    const behind = from + slots * 8
    const sum = crc32(bytes.subarray(at, behind), shard + 1)
    check(sum === record.readUInt32LE(20), `${name}: checksum of shard ${shard}`)
    let table = bytes.subarray(from, behind)
    if (keys) {
      const key = keys.of('index', life)
      table = decrypt(keys.cipher, key, bytes.subarray(at, from), table, Buffer.of(shard))
    }
    const used = Array.from({ length: slots }, (_, slot) => slot).filter(
      (slot) => table.readUInt32LE(slot * 8) !== 0,
    )
    check(used.length === count, `${name}: count of shard ${shard}`)
    const homes = record.readUInt32LE(16)
    let before = -1
    for (const slot of used) {
      const high = table.readUInt32LE(slot * 8 + 4)
      const tag = high >>> 8
      check(tag >= before, `${name}: order of shard ${shard}`)
      check(slots === count || slot >= Math.floor((tag * homes) / 2 ** 24), `${name}: home`)
      before = tag
      const position = (high & 255) * 2 ** 32 + table.readUInt32LE(slot * 8)
      const hash = ((shard << 24) | tag) >>> 0
      held.push(`${hash} ${placeOf(position, footer)}`)
    }
    at = behind
  }
  check(at === start, `${name}: end of the shards`)

  const newest = new Map<string, { hash: number; place: string; dead: boolean }>()
  for (const entry of entries.toSorted((a, b) => a.sequence - b.sequence)) {
    if (entry.kind === 3) continue
    const hash = hashOf(entry.key, descriptor.hashSeed)
    if (entry.sequence > sequences[hash >>> 24]!) continue
    const segment = Number.parseInt(entry.file, 10)
    const dead = entry.kind !== 1 || entry.sequence < footer.clearedSequence
    newest.set(entry.key.toString('hex'), { hash, place: `${segment}@${entry.address}`, dead })
  }
  const wanted = [...newest.values()]
    .filter(({ dead }) => !dead)
    .map(({ hash, place }) => `${hash} ${place}`)
  return { held: held.sort(), wanted: wanted.sort() }
}

function placeOf(position: number, { segments }: Footer): string {
  const slot = Math.floor(position / SLOT_NUMBER)
  const segment = segments.find((one) => slot >= one.slot && slot < one.slot + one.slots)
  check(segment !== undefined, `no segment at ${position}`)
  return `${segment.number}@${position - segment.slot * SLOT_NUMBER}`
}

export function hashOf(key: Buffer, seed: number): number {
  const padded = Buffer.alloc(Math.ceil(key.length / 4) * 4)
  key.copy(padded)
  let a = seed | 0
  let b = seed ^ key.length
  for (let i = 0; i < padded.length / 4; i++) {
    const word = padded.readInt32LE(i * 4)
    if (i % 2 === 0) {
      a = Math.imul(a ^ word, 0xcc9e2d51)
      a ^= a >>> 15
    } else {
      b = Math.imul(b ^ word, 0x1b873593)
      b ^= b >>> 15
    }
  }
  let h = a ^ ((b << 16) | (b >>> 16))
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
