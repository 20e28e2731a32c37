/**
 * Reads a store of the engine btree as `docs/format/tree.md` says. It imports nothing of kvark.
 *
 *   KVARK ─► the newer root of two ─► pages, top down ─► entries in order ─► the journal's entries over them
 *
 * 1. Anything that is not as the pages say throws: pages that are in use and reached from nowhere, too.
 */

import { createHash } from 'node:crypto'
import {
  check,
  type Descriptor,
  type Form,
  type Keys,
  type ReaderSecret,
  readBlock,
  readJournal,
  readKvark,
  readVarint,
  type StoredFiles,
  sealedJson,
} from './format-reader.ts'

const SLOT = 2048
const SLOTS = 2
const TREE_PAGE = 1
const PIECE = 2
const HEADER = 16
const NOTHING = Buffer.alloc(0)

interface Extent {
  readonly length: number
  readonly mark: number
  readonly runs: readonly (readonly [number, number])[]
}

export interface TreeRoot {
  readonly kvark: number
  readonly storeId: string
  readonly number: number
  readonly life: number
  readonly pageBytes: number
  readonly page: number
  readonly sum: number
  readonly entries: number
  readonly sequence: number
  readonly journal: { segment: number; end: number; sequence: number; checksum: number }
  readonly map: Extent
  readonly edition: number
}

export interface TreeEntry {
  /** The page of its leaf, or the segment of the journal. */
  readonly place: number | string
  readonly sequence: number
  /** 0: never. */
  readonly expiry: number
  readonly ascii: boolean
  /** With the id of the table. */
  readonly key: Buffer
  readonly value: Buffer
}

export interface TreeContent {
  readonly root: TreeRoot
  /** Levels of the tree; 0: it is empty. */
  readonly levels: number
  /** Those of the tree, in order. */
  readonly entries: readonly TreeEntry[]
  /** What is there: the user's key in hex, and the value. Expired entries are still in it. */
  readonly live: ReadonlyMap<string, Buffer>
}

export function readTree(files: StoredFiles, secret?: ReaderSecret): TreeContent {
  const { descriptor, keys, form } = readKvark(files, 'btree', secret)
  const bytes = files.get('TREE')
  check(bytes !== undefined, 'TREE is missing')
  const root = rootOf(bytes, descriptor, keys)
  const reader = new Reader(bytes, root, form)
  const copy = root.map.runs[0]![0] + root.map.runs[0]![1] - 1
  const [inCopy, inSlot] = [copy, 0].map((page) => rootAt(bytes, page * root.pageBytes, keys))
  check(JSON.stringify(inCopy) === JSON.stringify(inSlot), 'the copy of the root')
  const map = reader.extent(root.map)
  reader.use(copy)
  for (let slot = 0; slot < SLOTS; slot++) reader.use(slot)
  let levels = 0
  if (root.page !== 0) levels = reader.page(root.page, root.sum, undefined, NOTHING, undefined) + 1
  const { entries } = reader
  check(entries.length === root.entries, 'entries of the root')
  for (let page = 0; page < Math.max(map.length * 8, reader.used.size); page++) {
    const isSet = ((map[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0
    // Of the map there may be more pieces than it needs.
    const isMap = root.map.runs.some(([first, count]) => first <= page && page < first + count)
    check(isMap ? isSet : isSet === reader.used.has(page), `page ${page} in the map`)
  }
  const live = new Map(entries.map(({ key, value }) => [key.toString('hex', 1), value]))
  const known = {
    number: root.number,
    nextFile: root.journal.segment + 1,
    journal: [],
    floor: root.journal,
    references: true,
  }
  for (const entry of readJournal(files, form, known)) {
    const { kind, key, value, reference, sequence } = entry
    check(sequence > root.sequence, 'an entry of the journal that the tree has')
    const name = key.toString('hex', 1)
    if (kind === 1) live.set(name, reference ? reader.extent(extentIn(value)) : value)
    else if (kind === 2) live.delete(name)
    else if (reference) {
      const loaded = reader.loaded(key, value, sequence)
      for (const one of loaded) live.set(one.key.toString('hex', 1), one.value)
    } else {
      for (const one of live.keys()) {
        const internal = Buffer.concat([Buffer.alloc(1), Buffer.from(one, 'hex')])
        const isIn =
          internal.compare(key) >= 0 && (value.length === 0 || internal.compare(value) < 0)
        if (isIn) live.delete(one)
      }
    }
  }
  return { root, levels, entries, live }
}

function rootAt(bytes: Buffer, at: number, keys: Keys | undefined): unknown {
  const slot = bytes.subarray(at, at + SLOT)
  const end = slot.indexOf(0)
  check(
    slot.subarray(end).every((byte) => byte === 0),
    'zeros behind a root',
  )
  return sealedJson(slot.subarray(0, end), 'TREE', keys)
}

/** Where the second slot is only the first root says. */
function rootOf(bytes: Buffer, descriptor: Descriptor, keys: Keys | undefined): TreeRoot {
  const first = rootAt(bytes, 0, keys) as TreeRoot
  const second = rootAt(bytes, first.pageBytes, keys) as TreeRoot
  const root = first.number >= second.number ? first : second
  check(root.kvark === 1 && root.storeId === descriptor.storeId, 'a foreign root')
  check(descriptor.edition >= root.edition, 'an old descriptor')
  check([4096, 8192, 16_384, 32_768, 65_536].includes(root.pageBytes), 'bytes of a page')
  return root
}

function extentIn(body: Buffer): Extent {
  const runs: [number, number][] = []
  for (let at = 10; at < body.length; at += 10) {
    runs.push([body.readUIntLE(at, 6), body.readUInt32LE(at + 6)])
  }
  return { length: body.readUIntLE(0, 6), mark: body.readUInt32LE(6), runs }
}

class Reader {
  readonly entries: TreeEntry[] = []
  /** Read so far: values and rests of keys. */
  extents = 0
  /** Pages that something leads to. */
  readonly used: Set<number> = new Set()
  readonly #bytes: Buffer
  readonly #root: TreeRoot
  readonly #form: Form
  readonly #key: Buffer | undefined
  /** No entry has a larger one. */
  #sequence: number
  /** Bytes of a payload. */
  readonly #size: number

  constructor(bytes: Buffer, root: TreeRoot, form: Form) {
    this.#bytes = bytes
    this.#root = root
    this.#form = form
    this.#sequence = root.sequence
    this.#key = form.keys?.of('segment', root.life)
    this.#size = root.pageBytes - form.headerBytes
  }

  use(page: number): void {
    check(!this.used.has(page), `page ${page} is used twice`)
    this.used.add(page)
  }

  extent({ length, mark, runs }: Extent): Buffer {
    this.extents++
    const parts: Buffer[] = []
    for (const [first, count] of runs) {
      for (let page = first; page < first + count; page++) {
        if (parts.length * this.#size >= length) break
        this.use(page)
        const block = this.#block(page)
        check(
          block.flags === PIECE && block.mark === mark,
          `page ${page}: a piece of something else`,
        )
        parts.push(block.payload)
      }
    }
    const all = Buffer.concat(parts)
    check(all.length >= length, 'an extent that is cut short')
    check(
      all.subarray(length).every((byte) => byte === 0),
      'zeros behind an extent',
    )
    return all.subarray(0, length)
  }

  /** The entries of a load that the journal names; all of them have its sequence. */
  loaded(first: Buffer, value: Buffer, sequence: number): TreeEntry[] {
    const before = this.entries.length
    const { extents } = this
    const end = 22 + value.readUInt32LE(18)
    const last = value.subarray(22, end)
    const pages: number[] = []
    for (let at = end; at < value.length; at += 10) {
      const count = value.readUInt32LE(at + 6)
      for (let i = 0; i < count; i++) pages.push(value.readUIntLE(at, 6) + i)
    }
    const had = this.used.size
    const behind = Buffer.concat([last, Buffer.alloc(1)])
    this.#sequence = sequence
    const level = this.page(value.readUIntLE(0, 6), value.readUInt32LE(6), undefined, first, behind)
    const entries = this.entries.splice(before)
    check(level === value[10], 'level of a load')
    check((value[11]! & 2) !== 0 || this.extents === extents, 'extents of a load')
    check(entries.length === value.readUIntLE(12, 6), 'entries of a load')
    check(
      entries.every((entry) => entry.sequence === sequence),
      'sequence of a load',
    )
    check(entries[0]!.key.equals(first) && entries.at(-1)!.key.equals(last), 'bounds of a load')
    check(this.used.size - had === pages.length, 'pages of a load')
    for (const page of pages) check(this.used.has(page), `page ${page} of a load`)
    return entries
  }

  /** Reads what is below a page, with keys from `low` up to `high`; returns its level. */
  page(
    number: number,
    sum: number,
    level: number | undefined,
    low: Buffer,
    high: Buffer | undefined,
  ): number {
    this.use(number)
    const block = this.#block(number)
    check(block.flags === TREE_PAGE && block.sum === sum, `page ${number}: another page`)
    check(block.mark <= this.#root.number, `page ${number}: of a later checkpoint`)
    const { payload } = block
    const found = payload[0]!
    check(level === undefined || found === level, `page ${number}: level`)
    const cells = this.#cells(payload, number)
    for (const [i, { key, body }] of cells.entries()) {
      const before = cells[i - 1]?.key
      check(before === undefined || before.compare(key) < 0, `page ${number}: order`)
      const isBounded = (found > 0 && i === 0) || key.compare(low) >= 0
      check(isBounded && (high === undefined || key.compare(high) < 0), `page ${number}: bounds`)
      if (found === 0) this.#entry(number, key, body)
      else {
        const count = this.entries.length
        const { extents } = this
        const child = body.readUIntLE(0, 6)
        const from = i === 0 ? low : key
        this.page(child, body.readUInt32LE(6), found - 1, from, cells[i + 1]?.key ?? high)
        const below = this.entries.length - count
        const traits = body[15]!
        const expires = this.entries.slice(count).some(({ expiry }) => expiry > 0)
        check((traits & 1) === 1 || !expires, `page ${child}: expiries`)
        check((traits & 2) === 2 || this.extents === extents, `page ${child}: extents`)
        check(body.length === 16 && body.readUIntLE(10, 5) === below, `page ${child}: entries`)
      }
    }
    return found
  }

  /** Keys of a page, whole, and their bodies. */
  #cells(payload: Buffer, number: number): { key: Buffer; body: Buffer }[] {
    const count = payload.readUInt16LE(2)
    const capacity = payload.readUInt16LE(4)
    const prefixEnd = HEADER + payload.readUInt16LE(6)
    const start = payload.readUInt16LE(8)
    const prefix = payload.subarray(HEADER, prefixEnd)
    const heads = Math.ceil(prefixEnd / 4) * 4
    const offsets = heads + 4 * capacity
    check(count > 0 && count <= capacity, `page ${number}: count`)
    check(offsets + 2 * capacity <= start, `page ${number}: start of the cells`)
    const long = Math.floor(this.#size / 16)
    let bytes = payload.readUInt16LE(10)
    const cells = Array.from({ length: count }, (_, i) => {
      const cell = payload.readUInt16LE(offsets + 2 * i)
      check(cell >= start, `page ${number}: offset`)
      const { value: keyLength, end: next } = readVarint(payload, cell)
      const { value: length, end: keyAt } = readVarint(payload, next)
      const inPage = payload.subarray(keyAt, keyAt + keyLength)
      const head = Buffer.alloc(4)
      inPage.copy(head)
      check(payload.readUInt32LE(heads + 4 * i) === head.readUInt32BE(0), `page ${number}: head`)
      const end = keyAt + keyLength + length
      check(end <= payload.length, `page ${number}: cell`)
      bytes += end - cell
      let key = Buffer.concat([prefix, inPage])
      let bodyAt = keyAt + keyLength
      check(key.length <= long, `page ${number}: length of a key`)
      if (key.length === long) {
        const runs = payload[bodyAt + 40]!
        const digest = payload.subarray(bodyAt + 4, bodyAt + 36)
        const reference = Buffer.concat([
          payload.subarray(bodyAt, bodyAt + 4),
          Buffer.alloc(2),
          payload.subarray(bodyAt + 36, bodyAt + 40),
          payload.subarray(bodyAt + 41, bodyAt + 41 + 10 * runs),
        ])
        const rest = this.extent(extentIn(reference))
        check(createHash('sha256').update(rest).digest().equals(digest), `page ${number}: digest`)
        key = Buffer.concat([key, rest])
        bodyAt += 41 + 10 * runs
      }
      return { key, body: payload.subarray(bodyAt, end) }
    })
    check(bytes === payload.length - start, `page ${number}: holes`)
    return cells
  }

  #entry(page: number, key: Buffer, body: Buffer): void {
    const flags = body[0]!
    check(flags < 8, `page ${page}: flags of an entry`)
    const sequence = body.readUIntLE(1, 6)
    check(sequence > 0 && sequence <= this.#sequence, `page ${page}: sequence`)
    const hasExpiry = (flags & 1) !== 0
    const expiry = hasExpiry ? body.readUIntLE(7, 6) : 0
    const rest = body.subarray(hasExpiry ? 13 : 7)
    const value = (flags & 4) === 0 ? Buffer.from(rest) : this.extent(extentIn(rest))
    const ascii = (flags & 2) !== 0
    check(!ascii || value.every((byte) => byte < 128), `page ${page}: an ASCII value`)
    check(key[0] === 0, 'the root table')
    this.entries.push({ place: page, sequence, expiry, ascii, key, value })
  }

  #block(page: number): ReturnType<typeof readBlock> {
    const { pageBytes, life } = this.#root
    const at = page * pageBytes
    const bytes = this.#bytes.subarray(0, at + pageBytes)
    const block = readBlock(bytes, at, 'TREE', this.#form, life, this.#key)
    check(block.payload.length === this.#size, `page ${page}: length`)
    return block
  }
}
