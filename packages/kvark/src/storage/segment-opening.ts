/**
 * Opening a segment file that was found in the folder.
 *
 *   path ─► header (either copy, this store's, this number) ─► Segment up to the file's size      none whole: it was never completed
 *                                                               └─ the file's record: same life, no shorter than it was
 *
 * 1. Nothing behind the header is read: whether the frames are whole is for who walks them.
 * 2. A segment that may have been begun when the power failed is written to: the copy of its header that was lost is put back before
 *    anything relies on the other.
 *
 * Which files ought to be there is not known here.
 */

import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption } from '../errors.ts'
import { openFile } from '../vfs/open-file.ts'
import type { StoreForm } from './block-form.ts'
import type { Descriptor } from './descriptor.ts'
import { Segment } from './segment.ts'
import {
  FILE_HEADER_BYTES,
  headerIntact,
  readSegmentHeader,
  writeSegmentHeader,
} from './segment-format.ts'

/** The store that segments belong to. */
export interface SegmentStore {
  readonly environment: Environment
  readonly folder: string
  readonly descriptor: Pick<Descriptor, 'storeId'>
  readonly form: Pick<StoreForm, 'blocks'>
}

/** A segment as it was: another file of the same number, or an older copy of it, is not taken for this one. */
export interface FileRecord {
  readonly number: number
  readonly life: number
  readonly end: number
  /** Of the last frame. */
  readonly checksum: number
}

/**
 * `undefined` where the file has no header. `torn`: it may have been begun when the power failed; then the copy of the header that was
 * lost is written again.
 */
export function* openSegment(
  { environment, descriptor, form }: SegmentStore,
  path: string,
  number: number,
  torn = false,
): Routine<Segment | undefined> {
  const { files } = environment
  if ((yield* files.stat(path)) === undefined) throw corruption(path, 0, 'the file is missing')
  const handle = yield* openFile(files, path, 'write')
  let kept = false
  try {
    const start = Buffer.alloc(FILE_HEADER_BYTES)
    const read = yield* handle.read(start, 0, start.length, 0)
    const header = readSegmentHeader(start, read, path, descriptor.storeId, form.blocks)
    if (!header) return undefined
    if (header.number !== number) throw corruption(path, 36, `this is segment ${header.number}`)
    if (torn && !headerIntact(start, form.blocks)) {
      writeSegmentHeader(start, header, form.blocks)
      handle.write(start, 0, start.length, 0).sync()
    }
    const file = new Segment(handle, header, form.blocks, yield* handle.size(), true)
    kept = true
    return file
  } finally {
    if (!kept) yield* handle.close()
  }
}

/** `CORRUPTION` where the file is not the one that the record speaks of, or has become shorter since. */
export function checkRecord({ path, life, end }: Segment, record: FileRecord): void {
  if (life !== record.life) throw corruption(path, 32, 'it is another file of that name')
  if (end < record.end) throw corruption(path, end, 'the segment is cut short')
}

/** The frame that ended a segment when the record was made must be the one that is there. */
export function checkEnd(file: Segment, record: FileRecord, end: number, checksum: number): void {
  if (end === record.end && checksum === record.checksum) return
  throw corruption(file.path, record.end, 'the file is an older copy, or its end was changed,')
}
