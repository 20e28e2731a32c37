/**
 * What the reference engine keeps on disk: its whole content in one file, written anew by every commit.
 *
 *   00000007.state      crc32 of the rest │ sequence │ clock │ count │ entry … │      numbers are big-endian
 *   entry               key length │ value length │ sequence │ expiry │ key │ value
 *
 * 1. A file is written under a temporary name, synced, renamed, and its folder synced; only then the older ones go.
 *    A commit that need not survive power loss leaves the syncs out, and leaves the older files alone.
 * 2. The file with the highest number and a right checksum counts. A wrong checksum means that power went away before a
 *    sync; when no file is right, what had been synced is damaged: `CORRUPTION`.
 * 3. Each commit has a number of its own, so one that is overtaken by a later one does no harm, whenever it ends.
 */

import { crc32 } from 'node:zlib'
import type { Routine } from '../environment/routine.ts'
import { corruption } from '../errors.ts'
import { TEMPORARY_SUFFIX } from '../storage/sealed-file.ts'
import type { FileHandle, Files } from '../vfs/files.ts'
import type { Record } from './reference-records.ts'

export interface State {
  readonly sequence: number
  readonly clock: number
  /** In key order. */
  readonly records: readonly Record[]
}

const NAME = /^(\d{8})\.state$/
const TEMPORARY = /^\d{8}\.state\.tmp$/
/** The names of all that it makes, but for the suffix of what is half-written. */
export const STATE_NAMES: RegExp = NAME
const CHECKSUM_BYTES = 4
const HEADER_BYTES = CHECKSUM_BYTES + 8 + 8 + 4
const RECORD_HEADER_BYTES = 4 + 4 + 8 + 8

export class StateFiles {
  readonly #files: Files
  readonly #folder: string
  #number = 0

  constructor(files: Files, folder: string) {
    this.#files = files
    this.#folder = folder
  }

  /** Writes `state` as the newest file. Gives its name. */
  *write(state: State, durable: boolean): Routine<string> {
    const number = ++this.#number
    const path = this.#path(nameOf(number))
    const temporary = `${path}${TEMPORARY_SUFFIX}`
    const bytes = encodeState(state)
    const file = yield* this.#files.open(temporary, 'create')
    try {
      yield* file.write(bytes, 0, bytes.length, 0)
      if (durable) yield* file.sync()
    } finally {
      yield* file.close()
    }
    yield* this.#files.rename(temporary, path)
    if (!durable) return nameOf(number)
    yield* this.#files.syncFolder(this.#folder)
    for (const older of yield* this.list()) {
      if (older.number < number) yield* this.#files.remove(this.#path(older.name))
    }
    return nameOf(number)
  }

  /** The newest state, `undefined` when nothing was ever written. */
  *read(): Routine<State | undefined> {
    const names = (yield* this.#files.list(this.#folder)).filter((name) => TEMPORARY.test(name))
    for (const name of names) yield* this.#files.remove(this.#path(name))
    const files = yield* this.list()
    this.#number = Math.max(this.#number, files.at(-1)?.number ?? 0)
    for (const { name } of [...files].reverse()) {
      const state = yield* this.check(name)
      if (state !== undefined) return state
    }
    const [first] = files
    if (first !== undefined) throw corruption(this.#path(first.name), 0, 'wrong checksum')
    return undefined
  }

  /** The content of one file, `undefined` when its checksum is wrong. */
  *check(name: string): Routine<State | undefined> {
    const file = yield* this.#files.open(this.#path(name), 'read')
    try {
      return decodeState(yield* readAll(file))
    } finally {
      yield* file.close()
    }
  }

  /** The state files, oldest first. */
  *list(): Routine<{ name: string; number: number; bytes: number }[]> {
    const found: { name: string; number: number; bytes: number }[] = []
    for (const name of yield* this.#files.list(this.#folder)) {
      const number = Number(NAME.exec(name)?.[1])
      if (Number.isNaN(number)) continue
      const stat = yield* this.#files.stat(this.#path(name))
      found.push({ name, number, bytes: stat?.size ?? 0 })
    }
    return found
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`
  }
}

function nameOf(number: number): string {
  return `${String(number).padStart(8, '0')}.state`
}

function* readAll(file: FileHandle): Routine<Buffer> {
  const bytes = Buffer.alloc(yield* file.size())
  const length = yield* file.read(bytes, 0, bytes.length, 0)
  return bytes.subarray(0, length)
}

function encodeState(state: State): Buffer {
  let length = HEADER_BYTES
  for (const { key, value } of state.records) {
    length += RECORD_HEADER_BYTES + key.length + value.length
  }
  const bytes = Buffer.alloc(length)
  let at = CHECKSUM_BYTES
  at = bytes.writeDoubleBE(state.sequence, at)
  at = bytes.writeDoubleBE(state.clock, at)
  at = bytes.writeUInt32BE(state.records.length, at)
  for (const { key, value, sequence, expiry } of state.records) {
    at = bytes.writeUInt32BE(key.length, at)
    at = bytes.writeUInt32BE(value.length, at)
    at = bytes.writeDoubleBE(sequence, at)
    at = bytes.writeDoubleBE(expiry, at)
    at += key.copy(bytes, at)
    at += value.copy(bytes, at)
  }
  bytes.writeUInt32BE(crc32(bytes.subarray(CHECKSUM_BYTES)), 0)
  return bytes
}

function decodeState(bytes: Buffer): State | undefined {
  if (bytes.length < HEADER_BYTES) return undefined
  if (crc32(bytes.subarray(CHECKSUM_BYTES)) !== bytes.readUInt32BE(0)) return undefined
  const records: Record[] = []
  let at = HEADER_BYTES
  for (let left = bytes.readUInt32BE(HEADER_BYTES - 4); left > 0; left--) {
    const keyEnd = at + RECORD_HEADER_BYTES + bytes.readUInt32BE(at)
    const valueEnd = keyEnd + bytes.readUInt32BE(at + 4)
    records.push({
      key: bytes.subarray(at + RECORD_HEADER_BYTES, keyEnd),
      value: bytes.subarray(keyEnd, valueEnd),
      sequence: bytes.readDoubleBE(at + 8),
      expiry: bytes.readDoubleBE(at + 16),
    })
    at = valueEnd
  }
  return {
    sequence: bytes.readDoubleBE(CHECKSUM_BYTES),
    clock: bytes.readDoubleBE(CHECKSUM_BYTES + 8),
    records,
  }
}
