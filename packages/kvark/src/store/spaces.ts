/**
 * Key spaces: what the keys of a table begin with inside the engine, so that tables never meet.
 *
 *   internal key   │ id of the space, varint │ key of the user … │
 *
 *   0  the root, until it is cleared on an engine that cannot clear a range      2  no table: nothing is ever written there
 *   1  the catalogue, under the empty key (`catalogue.ts`)                       3  and above: tables, each id used once
 *
 * 1. No id is the beginning of another one, so the keys of a space lie side by side, and nothing else between them.
 */

import { varintLength, writeVarint } from '../bytes/varint.ts'

export const ROOT_SPACE = 0
export const CATALOGUE_SPACE = 1
export const NO_SPACE = 2
export const FIRST_SPACE = 3

/** The bytes before the keys of a space, which are also the least of its keys. */
export function startOf(space: number): Buffer {
  const bytes = Buffer.alloc(varintLength(space))
  writeVarint(bytes, 0, space)
  return bytes
}

/** What lies behind all keys of a space. */
export function endOf(space: number): Buffer {
  const bytes = startOf(space)
  // The last byte of a varint is below 0x80.
  bytes[bytes.length - 1]! += 1
  return bytes
}

/** Bytes of the id that the internal key at `bytes[at ..]` begins with. */
export function prefixLength(bytes: Uint8Array, at: number): number {
  let length = 1
  while (bytes[at + length - 1]! >= 0x80) length++
  return length
}
