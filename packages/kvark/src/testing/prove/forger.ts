/**
 * Somebody who knows the format of a store and has its key, so that what he writes is wrong in nothing but what he wants. What all
 * engines have in common; each one's own files are forged by its heir (`log/forger.ts`, `btree/forger.ts`).
 *
 *   descriptor, and what is sealed like it   ─► JSON ─► edited ─► sealed, proved, checksums made
 *   segment                                  ─► blocks opened ─► payloads edited ─► sealed anew ─► frames linked, headers told
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
import { type Content, type DamagedForm, FOLDER } from '../damage.ts'
import { blocksOf, headerBytesOf, isSegment, lifeOf, resealed } from '../tampering.ts'

const PREVIOUS_CHECKSUM_AT = 12

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Checksums of blocks that were sealed anew: old to new. */
export type Links = Map<number, number>

/** The files of a store, and how it has its data in them. */
export interface StoredFiles {
  readonly content: Content
  readonly form: DamagedForm
}

export class Forger {
  readonly content: Content
  readonly form: DamagedForm
  readonly blocks: BlockForm
  readonly cipher: StoreCipher | undefined
  readonly storeId: string

  /** `random`: for nonces. */
  constructor({ content, form }: StoredFiles, random: (length: number) => Uint8Array) {
    this.content = content
    this.form = form
    const { checksum = 'crc32', compression = 'none', encryption } = form
    const descriptor = this.#line('KVARK') as { encryption: StoredKey | null; storeId: string }
    const stored = descriptor.encryption
    const key =
      encryption && 'key' in encryption && stored && runSync(openKey(stored, encryption, FOLDER))
    const { blocks, cipher } = storeForm(
      {
        checksum,
        compression,
        encryption: stored && key ? { cipher: stored.cipher, key } : undefined,
      },
      random,
    )
    this.blocks = blocks
    this.cipher = cipher
    this.storeId = descriptor.storeId
  }

  /** What a file of one line says. */
  json(name: string): Json {
    const line = this.#line(name)
    const { sealed } = line as { sealed?: string }
    if (sealed === undefined || !this.cipher) return line
    return JSON.parse(
      Buffer.from(this.cipher.unseal(name, Buffer.from(sealed, 'base64'))!).toString(),
    ) as Json
  }

  /** The file `name` that says so. */
  file(name: string, content: Json): Buffer {
    let line = content
    if (this.cipher && name === 'KVARK') {
      if (isRecord(content)) {
        const { proof: _, ...rest } = content
        line = { ...rest, proof: this.cipher.proof(name, JSON.stringify(rest)) }
      }
    } else if (this.cipher) {
      const sealed = this.cipher.seal(name, Buffer.from(JSON.stringify(content)))
      line = { sealed: Buffer.from(sealed).toString('base64') }
    }
    return resealed(JSON.stringify(line))
  }

  /** The files with a segment whose payloads were edited, and everything that names its checksums. */
  withSegment(name: string, edit: (payload: Buffer, block: number) => void): Content {
    const files = new Map(this.content)
    const links: Links = new Map()
    files.set(name, this.#resealed(files.get(name)!, links, edit))
    for (const [other, bytes] of files) {
      if (isSegment(other)) files.set(other, this.#relinked(bytes, other, links))
    }
    this.linked(files, links)
    return files
  }

  /** What else names checksums of segments is the engine's. */
  linked(_files: Map<string, Buffer>, _links: Links): void {}

  #resealed(
    original: Buffer,
    links: Links,
    edit: (payload: Buffer, block: number) => void,
  ): Buffer {
    const { blocks, form } = this
    const plain = Buffer.from(original)
    const stored = blocks.sealed ? Buffer.from(original) : plain
    const life = lifeOf(original)
    for (const [i, { at, end }] of blocksOf(original, form).entries()) {
      const [before, mark, flags] = [
        readU32(original, at),
        readU32(original, at + 4),
        original[at + 10]!,
      ]
      const length = blocks.open(plain, at, end, life, at)
      const from = at + headerBytesOf(form)
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
    const header = readSegmentHeader(bytes, bytes.length, name, this.storeId, this.blocks)!
    const link = links.get(header.previousChecksum)
    if (link === undefined) return bytes
    const copy = Buffer.from(bytes)
    const start = Buffer.alloc(FILE_HEADER_BYTES)
    writeSegmentHeader(start, { ...header, previousChecksum: link }, this.blocks)
    start.copy(copy)
    return copy
  }

  #line(name: string): Json {
    const text = this.content.get(name)!.toString('latin1')
    return JSON.parse(text.slice(0, text.indexOf('\n'))) as Json
  }
}

export function isRecord(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
