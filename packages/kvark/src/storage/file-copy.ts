/**
 * One file of a backup, from its first byte to the proof that it is there:
 *
 *   create ─► append … ─► finish: synced, closed ─► check: read back, compared by CRC-32
 *
 * 1. What is appended is synced in portions, for a file system that has much to sync at once keeps other writers waiting.
 * 2. `check` tells whether the bytes come back. Whether they were right in the first place is for whoever appends to know.
 * 3. Holes stay holes: whole pages of zeros are not written.
 * 4. A copy that is a second name of a file (`link`) is not written: what is appended is what `check` has to find there. It is synced
 *    like the others, for nobody knows who has written it, and whether he waited for the disk.
 * 5. Each call touches the disk in pieces that the caller's buffer sets, and lets other work run between them.
 *
 * Left out: names. The folder has to be synced once all files are there.
 */

import { crc32 } from 'node:zlib'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { type FileHandle, HOLE_BYTES } from '../vfs/files.ts'
import { openFile } from '../vfs/open-file.ts'

const SYNC_BYTES = 4 * 1024 * 1024
const ZEROS: Buffer = Buffer.alloc(HOLE_BYTES)

export class FileCopy {
  readonly path: string
  /** Bytes appended so far. */
  length = 0
  readonly #environment: Environment
  readonly #handle: FileHandle
  readonly #isLink: boolean
  #checksum = 0
  #synced = 0

  private constructor(environment: Environment, handle: FileHandle, isLink: boolean) {
    this.#environment = environment
    this.#handle = handle
    this.#isLink = isLink
    this.path = handle.path
  }

  /** Begins the new file `path`. */
  static *create(environment: Environment, path: string): Routine<FileCopy> {
    return new FileCopy(environment, yield* openFile(environment.files, path, 'create'), false)
  }

  /** Makes `path` a second name of the file `from`; `undefined` where that cannot be. */
  static *link(
    environment: Environment,
    path: string,
    from: string,
  ): Routine<FileCopy | undefined> {
    const { files } = environment
    try {
      if (files.link === undefined) return undefined
      yield* files.link(from, path)
    } catch (error) {
      if (error instanceof KvarkError && error.code === 'IO') return undefined
      throw error
    }
    return new FileCopy(environment, yield* openFile(files, path, 'read'), true)
  }

  /** Adds `source[from .. to)` at the end. */
  *append(source: Uint8Array, from: number, to: number): Routine<void> {
    if (!this.#isLink) yield* this.#write(source, from, to)
    this.#checksum = crc32(source.subarray(from, to), this.#checksum)
    this.length += to - from
    if (this.#isLink || this.length - this.#synced < SYNC_BYTES) return
    this.#synced = this.length
    yield* this.#handle.sync()
  }

  *#write(source: Uint8Array, from: number, to: number): Routine<void> {
    const page = Buffer.from(source.buffer, source.byteOffset, source.length)
    // Where pages of the copy begin in `source`.
    const base = from - this.length
    let start = from
    for (let at = base + Math.ceil(this.length / HOLE_BYTES) * HOLE_BYTES; at < to; ) {
      const end = at + HOLE_BYTES
      if (end < to && page.compare(ZEROS, 0, HOLE_BYTES, at, end) === 0) {
        if (start < at) yield* this.#handle.write(source, start, at - start, start - base)
        start = end
      }
      at = end
    }
    // Never empty, so that the file is as long as what was appended.
    yield* this.#handle.write(source, start, to - start, start - base)
  }

  /** All has been appended: makes it durable. */
  *finish(): Routine<void> {
    yield* this.#handle.sync()
    yield* this.close()
  }

  /** Lets go of the file, finished or not. Repeating it is harmless. */
  *close(): Routine<void> {
    yield* this.#handle.close()
  }

  /** Reads the finished file back through `buffer`; `CORRUPTION` when it is not what was appended. Tells `heard` of each piece. */
  *check(buffer: Buffer, heard: (bytes: number) => void): Routine<void> {
    const { files, pause } = this.#environment
    const handle = yield* openFile(files, this.path, 'read')
    try {
      let checksum = 0
      let position = 0
      for (;;) {
        const read = yield* handle.read(buffer, 0, buffer.length, position)
        if (read === 0) break
        checksum = crc32(buffer.subarray(0, read), checksum)
        position += read
        heard(read)
        yield* pause
      }
      if (position !== this.length || checksum !== this.#checksum) throw unlike(this.path)
    } finally {
      yield* handle.close()
    }
  }
}

function unlike(path: string): KvarkError {
  return new KvarkError(
    'CORRUPTION',
    `${path} does not read back as it was written a moment ago. Check that disk, and back up to another one.`,
    { path, offset: 0 },
  )
}
