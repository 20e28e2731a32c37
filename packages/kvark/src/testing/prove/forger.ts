/**
 * Somebody who knows the format of a store and has its key, so that what he writes is wrong in nothing but what he wants:
 *
 *   descriptor, manifest, footer   ─► JSON ─► edited ─► sealed, proved, checksums made
 *   shard of the stored index      ─► opened ─► edited ─► sealed anew, checksums made
 *   segment                        ─► blocks opened ─► payloads edited ─► sealed anew ─► frames linked, headers and manifest told
 */

import { readU32, writeU32 } from '../../bytes/varint.ts'
import { runSync } from '../../environment/routine.ts'
import { type BlockForm, storeForm } from '../../storage/block-form.ts'
import type { StoreCipher } from '../../storage/cipher.ts'
import {
  FILE_HEADER_BYTES,
  FIRST,
  readSegmentHeader,
  writeSegmentHeader,
} from '../../storage/segment-format.ts'
import { openKey, type StoredKey } from '../../storage/store-key.ts'
import { type Content, FOLDER } from '../damage.ts'
import {
  checksumAt,
  footerOf,
  SHARD_ENVELOPE_BYTES,
  SHARD_RECORD_BYTES,
  SHARD_TABLE_BYTES,
  type StoredShard,
  shardChecksum,
  shardsOf,
  withFooter,
} from '../stored-index.ts'
import { blocksOf, headerBytesOf, isSegment, lifeOf, resealed } from '../tampering.ts'
import type { SmallStore } from './small-store.ts'

const PREVIOUS_CHECKSUM_AT = 12

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Checksums of blocks that were sealed anew: old to new. */
type Links = Map<number, number>

interface LinkedFile {
  checksum: number
}

interface LinkedManifest {
  readonly packed: LinkedFile[]
  readonly journal: LinkedFile[]
  readonly floor: LinkedFile
}

export class Forger {
  readonly #store: SmallStore
  readonly #blocks: BlockForm
  readonly #cipher: StoreCipher | undefined
  readonly #storeId: string

  constructor(store: SmallStore, random: (length: number) => Uint8Array) {
    this.#store = store
    const { checksum = 'crc32', compression = 'none', encryption } = store.form
    const descriptor = this.#line('KVARK') as { encryption: StoredKey | null; storeId: string }
    const stored = descriptor.encryption
    const key =
      encryption && 'key' in encryption && stored && runSync(openKey(stored, encryption, FOLDER))
    const form = storeForm(
      {
        checksum,
        compression,
        encryption: stored && key ? { cipher: stored.cipher, key } : undefined,
      },
      random,
    )
    this.#blocks = form.blocks
    this.#cipher = form.cipher
    this.#storeId = descriptor.storeId
  }

  /** What `KVARK` or `MANIFEST` says. */
  json(name: string): Json {
    const line = this.#line(name)
    const { sealed } = line as { sealed?: string }
    if (sealed === undefined || !this.#cipher) return line
    return JSON.parse(
      Buffer.from(this.#cipher.unseal(name, Buffer.from(sealed, 'base64'))!).toString(),
    ) as Json
  }

  /** The file `name` that says so. */
  file(name: string, content: Json): Buffer {
    let line = content
    if (this.#cipher && name === 'MANIFEST') {
      const sealed = this.#cipher.seal(name, Buffer.from(JSON.stringify(content)))
      line = { sealed: Buffer.from(sealed).toString('base64') }
    } else if (this.#cipher && isRecord(content)) {
      const { proof: _, ...rest } = content
      line = { ...rest, proof: this.#cipher.proof(name, JSON.stringify(rest)) }
    }
    return resealed(JSON.stringify(line))
  }

  /** What the footer of a stored index says behind the table of shards. */
  footer(name: string): Json {
    return JSON.parse(this.#footer(name).toString('utf8', SHARD_TABLE_BYTES)) as Json
  }

  /** A stored index whose footer says something else. */
  withFooter(name: string, footer: Json): Buffer {
    const table = this.#footer(name).subarray(0, SHARD_TABLE_BYTES)
    const plain = Buffer.concat([table, Buffer.from(JSON.stringify(footer))])
    return withFooter(this.#store.content.get(name)!, this.#sealed(name, plain))
  }

  /** The shards of a stored index that hold something. */
  shards(name: string): StoredShard[] {
    return shardsOf(this.#footer(name), this.#cipher !== undefined)
  }

  /** A stored index of which a shard, and what the table says of it, were edited. */
  withShard(
    name: string,
    shard: StoredShard,
    edit: (record: Buffer, slots: Buffer) => void,
  ): Buffer {
    const index = Buffer.from(this.#store.content.get(name)!)
    const footer = Buffer.from(this.#footer(name))
    const { number, at, end } = shard
    const record = footer.subarray(number * SHARD_RECORD_BYTES, (number + 1) * SHARD_RECORD_BYTES)
    if (this.#cipher) {
      const from = at + SHARD_ENVELOPE_BYTES
      const { life } = this.footer(name) as { life: number }
      const key = this.#cipher.subkey('index', life)
      const place = Uint8Array.of(number)
      const slots = Buffer.from(this.#cipher.decrypt(key, index, from, end - from, at, place)!)
      edit(record, slots)
      this.#cipher.encrypt(key, slots, 0, slots.length, index, from, at, place)
    } else edit(record, index.subarray(at, end))
    footer.writeUInt32LE(shardChecksum(index, shard), checksumAt(number))
    return withFooter(index, this.#sealed(name, footer))
  }

  /** The footer of a stored index as it is sealed. */
  #footer(name: string): Buffer {
    const bytes = footerOf(this.#store.content.get(name)!)
    return this.#cipher ? Buffer.from(this.#cipher.unseal(name, bytes)!) : bytes
  }

  #sealed(name: string, plain: Uint8Array): Uint8Array {
    return this.#cipher ? this.#cipher.seal(name, plain) : plain
  }

  /** The files with a segment whose payloads were edited, and everything that names its checksums. */
  withSegment(name: string, edit: (payload: Buffer, block: number) => void): Content {
    const files = new Map(this.#store.content)
    const links: Links = new Map()
    files.set(name, this.#resealed(files.get(name)!, links, edit))
    for (const [other, bytes] of files) {
      if (isSegment(other)) files.set(other, this.#relinked(bytes, other, links))
    }
    const manifest = this.json('MANIFEST')
    const { packed, journal, floor } = manifest as unknown as LinkedManifest
    for (const file of [...packed, ...journal, floor]) {
      file.checksum = links.get(file.checksum) ?? file.checksum
    }
    files.set('MANIFEST', this.file('MANIFEST', manifest))
    return files
  }

  #resealed(
    original: Buffer,
    links: Links,
    edit: (payload: Buffer, block: number) => void,
  ): Buffer {
    const blocks = this.#blocks
    const plain = Buffer.from(original)
    const stored = blocks.sealed ? Buffer.from(original) : plain
    const life = lifeOf(original)
    for (const [i, { at, end }] of blocksOf(original, this.#store.form).entries()) {
      const [before, mark, flags] = [
        readU32(original, at),
        readU32(original, at + 4),
        original[at + 10]!,
      ]
      const length = blocks.open(plain, at, end, life, at)
      const from = at + headerBytesOf(this.#store.form)
      const payload = plain.subarray(from, from + length)
      if ((flags & FIRST) !== 0) {
        const link = links.get(readU32(payload, PREVIOUS_CHECKSUM_AT))
        if (link !== undefined) writeU32(payload, PREVIOUS_CHECKSUM_AT, link)
      }
      edit(payload, i)
      links.set(before, blocks.seal(plain, stored, at, length, flags, mark, life, at))
    }
    return stored
  }

  /** A segment whose header names the new checksum of the one before. */
  #relinked(bytes: Buffer, name: string, links: Links): Buffer {
    const header = readSegmentHeader(bytes, bytes.length, name, this.#storeId, this.#blocks)!
    const link = links.get(header.previousChecksum)
    if (link === undefined) return bytes
    const copy = Buffer.from(bytes)
    const start = Buffer.alloc(FILE_HEADER_BYTES)
    writeSegmentHeader(start, { ...header, previousChecksum: link }, this.#blocks)
    start.copy(copy)
    return copy
  }

  #line(name: string): Json {
    const text = this.#store.content.get(name)!.toString('latin1')
    return JSON.parse(text.slice(0, text.indexOf('\n'))) as Json
  }
}

export function isRecord(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
