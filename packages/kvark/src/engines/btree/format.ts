/**
 * The bytes of the tree file, `TREE`: pages of one size.
 *
 *   │ root slot 0 │ root slot 1 │ page 2 │ page 3 │ …           each as long as a page
 *
 *   root slot   text, as in a sealed file: what the tree is (`Root`), zeros behind it; the same in both slots.
 *   page        one block: of the tree, or a piece of a long value (flags 1 or 2); or a copy of a root (`copyOf`)
 *
 * 1. A root is written when everything that it leads to is on the disk: to slot 0, and to slot 1 when slot 0 is on the disk. So one of
 *    them always holds, and one damaged sector takes nothing away.
 * 2. A page that the newest root on the disk leads to is not written.
 * 3. A page of the tree is known by its checksum, which stands in the page above it, or in the root. A piece of a value is known by
 *    its mark: random for each value, and named where the value is. So is the map of free pages.
 * 4. The mark of a page of the tree is the number of the checkpoint that wrote it. Nobody needs it but who salvages: a page that
 *    nothing leads to any more says when it was the tree's. Pages that were loaded do not say: theirs is 0.
 * 5. Each root stands in one more place, behind its map, for who salvages and finds neither slot. It is written before the slots are:
 *    what it leads to may never have been complete.
 */

import { isU32, isU48 } from '../../bytes/varint.ts'
import { corruption, KvarkError } from '../../errors.ts'
import type { StoreCipher } from '../../storage/cipher.ts'
import type { JournalPoint } from '../../storage/journal.ts'
import { sealText, unsealText } from '../../storage/sealed-file.ts'

export const TREE_NAME = 'TREE'
export const ROOT_SLOTS = 2
/** The page that no tree has: the root of an empty one. */
export const NO_PAGE = 0
/** What is read and written of a root slot. */
export const ROOT_BYTES = 2048
/** What a page is: the flags of its block, in its header. */
export const FLAGS_AT = 10
export const TREE_PAGE = 1
export const PIECE = 2
/** The mark of pages of the tree that a load has written, and no checkpoint. */
export const LOADED = 0

const FORMAT = 1

/** Pages in a row: [first, count]. */
export type Run = readonly [number, number]

/** Bytes in pages of their own. */
export interface Extent {
  readonly length: number
  /** All its pages carry it. */
  readonly mark: number
  readonly runs: readonly Run[]
}

export interface Root {
  /** Counts checkpoints. */
  readonly number: number
  /** Of the file: random. */
  readonly life: number
  readonly pageBytes: number
  /** The page at the top of the tree (0: it is empty), and its checksum. */
  readonly page: number
  readonly sum: number
  readonly entries: number
  /** The last write in it. */
  readonly sequence: number
  readonly clock: number
  /** Everything up to here is in the tree. */
  readonly journal: JournalPoint
  /** Which pages are in use: see `Space.save`. Its run has one page more than it needs: see `copyOf`. */
  readonly map: Extent
  /** Of the descriptor. */
  readonly edition: number
}

export function writeRoot(root: Root, storeId: string, cipher: StoreCipher | undefined): Buffer {
  const text = sealText(TREE_NAME, { kvark: FORMAT, storeId, ...root }, cipher)
  const bytes = Buffer.alloc(ROOT_BYTES)
  if (text.length > bytes.length) {
    throw new KvarkError('NO_SPACE', 'The map of free pages is in too many pieces.')
  }
  text.copy(bytes)
  return bytes
}

/** The root in a slot; `undefined` where none was ever completed. */
export function readRoot(
  path: string,
  bytes: Buffer,
  storeId: string,
  cipher: StoreCipher | undefined,
): Root | undefined {
  const content = unsealRoot(path, bytes, cipher)
  if (content === undefined) return undefined
  const { kvark, storeId: found, ...root } = content
  if (kvark !== FORMAT) {
    throw new KvarkError(
      'VERSION',
      `${path} was written by a newer kvark. Open it with that one.`,
      {
        path,
        expected: FORMAT,
        found: kvark,
      },
    )
  }
  if (found !== storeId) {
    throw corruption(path, 0, 'it belongs to another store')
  }
  if (!isRoot(root)) throw corruption(path, 0, 'a root is malformed')
  return root
}

/** What a root says, whoever's it is; `undefined` where none was ever completed. */
export function unsealRoot(
  path: string,
  bytes: Buffer,
  cipher: StoreCipher | undefined,
): Record<string, unknown> | undefined {
  const end = bytes.indexOf(0)
  try {
    const content = unsealText(
      path,
      TREE_NAME,
      bytes.subarray(0, end < 0 ? bytes.length : end),
      cipher,
    )
    return (content ?? {}) as Record<string, unknown>
  } catch (error) {
    if (error instanceof KvarkError && error.code === 'CORRUPTION') return undefined
    throw error
  }
}

export function isRoot(value: object): value is Root {
  const root = value as Partial<Record<keyof Root, unknown>>
  const { journal, map } = root as { journal?: Partial<JournalPoint>; map?: Partial<Extent> }
  return (
    [root.number, root.life, root.sum, root.edition].every(isU32) &&
    [root.page, root.entries, root.sequence, root.clock].every(isU48) &&
    isPageSize(root.pageBytes) &&
    isU32(journal?.segment) &&
    isU48(journal.end) &&
    isU48(journal.sequence) &&
    isU32(journal.checksum) &&
    isU48(map?.length) &&
    isU32(map.mark) &&
    Array.isArray(map.runs) &&
    map.runs.length === 1 &&
    map.runs.every((run) => Array.isArray(run) && run.length === 2 && run.every(isU48))
  )
}

/** The page in which a root stands once more: the last one of its map's. */
export function copyOf({ map }: Root): number {
  const [first, count] = map.runs[0]!
  return first + count - 1
}

export function isPageSize(value: unknown): value is number {
  return [4096, 8192, 16_384, 32_768, 65_536].includes(value as number)
}

export function misplaced(): KvarkError {
  return new KvarkError(
    'CORRUPTION',
    'A page of the tree is not where it belongs. Run `kvark repair`, or restore a backup.',
  )
}
