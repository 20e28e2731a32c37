/**
 * What stands under a key in a branch.
 *
 *   │ child: page u48 │ checksum u32 │ entries below u40 │ traits u8 │            16 bytes
 *
 *   checksum   of the child in the file; 0: it is not there yet
 *   traits     what some entry below may have or have had: 1 an expiry, 2 an extent
 *
 * All but `writeBranch` look at the slot that the page has `read` last.
 */

import { readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
import type { Page } from './page.ts'

export const SUM_AT = 6
const ENTRIES_AT = 10
const TRAITS_AT = 15
/** Traits. */
export const MAY_EXPIRE = 1
export const HAS_EXTENTS = 2

const TWO_32 = 0x1_0000_0000

/** A page, and what the one above it says of it. */
export interface Subtree {
  readonly page: number
  readonly sum: number
  readonly level: number
  readonly entries: number
  readonly traits: number
}

export function writeBranch(
  bytes: Uint8Array,
  at: number,
  { page, sum, entries, traits }: Subtree,
): void {
  writeU48(bytes, at, page)
  writeU32(bytes, at + SUM_AT, sum)
  writeEntries(bytes, at, entries)
  bytes[at + TRAITS_AT] = traits
}

export function childAt({ bytes, bodyAt }: Page): number {
  return readU48(bytes, bodyAt)
}

export function sumAt({ bytes, bodyAt }: Page): number {
  return readU32(bytes, bodyAt + SUM_AT)
}

export function entriesAt({ bytes, bodyAt }: Page): number {
  const at = bodyAt + ENTRIES_AT
  return readU32(bytes, at) + bytes[at + 4]! * TWO_32
}

export function traitsAt({ bytes, bodyAt }: Page): number {
  return bytes[bodyAt + TRAITS_AT]!
}

/** The child is this page from now on, which is not in the file yet. */
export function setChild({ bytes, bodyAt }: Page, child: number): void {
  writeU48(bytes, bodyAt, child)
  writeU32(bytes, bodyAt + SUM_AT, 0)
}

export function setEntries({ bytes, bodyAt }: Page, entries: number): void {
  writeEntries(bytes, bodyAt, entries)
}

/** One more entry below the child whose body stands at `bytes[body ..]`: a load in key order comes here for every entry. */
export function countEntry(bytes: Uint8Array, body: number): void {
  const at = body + ENTRIES_AT
  const low = readU32(bytes, at) + 1
  writeU32(bytes, at, low >>> 0)
  if (low === TWO_32) bytes[at + 4]!++
}

export function setTraits({ bytes, bodyAt }: Page, traits: number): void {
  bytes[bodyAt + TRAITS_AT] = traits
}

function writeEntries(bytes: Uint8Array, body: number, entries: number): void {
  const at = body + ENTRIES_AT
  writeU32(bytes, at, entries >>> 0)
  bytes[at + 4] = Math.floor(entries / TWO_32)
}
