/**
 * A hot backup of a log: its files as they are, up to one moment, while writes and compaction go on.
 *
 *   one moment: where the journal ends, which segments there are ─► journal synced ─► each segment: read, check, copy
 *               they are held from here on                                            let go          │
 *                                                                                                     ▼
 *   MANIFEST of that moment ◄── read back, compared ◄── the stored index, where it goes with the segments
 *
 * 1. A segment is only ever appended to, so its bytes up to the moment are the same whenever they are copied. Compaction may
 *    replace it meanwhile; held, it stays until it is copied.
 * 2. The journal is one order, so the copy is a prefix of the writes; synced first, so that it has none which the store could
 *    still lose.
 * 3. All of a segment is checked as it is read: header, blocks, and the chain of the frames. Damage is `CORRUPTION`, also where
 *    only stale entries lie: the index could not be built anew from it.
 * 4. The manifest's floor is the moment: the copy's journal must reach it, so that a copy which is cut short later is found out.
 *    No close frame is needed, and none is written.
 * 5. What an earlier backup, the base, has of a segment is shared with it, as a second name of the same file, if nobody ever appends to
 *    either: the last segment of the journal, there and here, is copied. It is read back before the segment is let go; where it is not
 *    the same, the segment is copied.
 *
 * Left out: the stored index is copied without looking into it. Where it is damaged, opening the copy builds it anew.
 */

import type { BackupReport, BackupTarget, Progress } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { asKvarkError, corruption, KvarkError } from '../../errors.ts'
import { FileCopy } from '../../storage/file-copy.ts'
import { readOnly } from '../../storage/journal.ts'
import { journalName } from '../../storage/journal-recovery.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES, headerIntact } from '../../storage/segment-format.ts'
import {
  type Chain,
  DAMAGED,
  END,
  NEED,
  type SegmentSource,
  SegmentWalk,
} from '../../storage/segment-walk.ts'
import type { FileHandle } from '../../vfs/files.ts'
import { openFile } from '../../vfs/open-file.ts'
import { errnoOf } from '../../vfs/system-error.ts'
import { indexName, packedName, readManifest, writeManifest } from './manifest.ts'
import { manifestOf } from './persist.ts'
import type { LogSegment } from './segments.ts'
import type { LogState } from './state.ts'

/** What `journalName` gives. */
const JOURNAL_NAME = /^(\d+)\.log$/

/** Read, checked and written in one step of the event loop: well below a millisecond. */
const STEP_BYTES = 256 * 1024

/** Copies everything written so far into the empty folder of `to`; durable when it returns. */
export function* backup(
  state: LogState,
  to: BackupTarget,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Routine<BackupReport> {
  const index = yield* openStoredIndex(state)
  const run = new Backup(state, to, progress, signal)
  try {
    return yield* run.run(index)
  } catch (error) {
    // The store was resumed meanwhile, or closed, which closes its files.
    const { failure } = state.journal
    const isClosed = errnoOf(error) === 'EBADF' || asKvarkError(error).code === 'CLOSED'
    throw failure && isClosed ? readOnly(failure) : error
  } finally {
    run.letGo()
    if (index) yield* index.handle.close()
  }
}

/** The stored index, open: its file may be replaced at any time. */
interface OpenIndex {
  readonly number: number
  readonly handle: FileHandle
  readonly bytes: number
}

/** A segment, where it ended at the moment of the backup, and what a walk over it must find up to there. */
interface Part {
  readonly segment: LogSegment
  readonly end: number
  readonly chain: Chain
}

class Backup {
  readonly #state: LogState
  readonly #to: BackupTarget
  readonly #progress: Progress | undefined
  readonly #signal: AbortSignal | undefined
  readonly #buffer: Buffer = Buffer.allocUnsafeSlow(STEP_BYTES)
  readonly #held: Set<LogSegment> = new Set()
  /** Names in the base of files that nobody appends to, with their lengths. */
  readonly #shareable: Map<string, number> = new Map()
  #linkedBytes = 0
  #done = 0
  #total = 0

  constructor(
    state: LogState,
    to: BackupTarget,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.#state = state
    this.#to = to
    this.#progress = progress
    this.#signal = signal
  }

  *run(found: OpenIndex | undefined): Routine<BackupReport> {
    const state = this.#state
    const { journal, segments } = state
    if (journal.failure) throw readOnly(journal.failure)
    // Up to the first effect nothing comes between: this is the moment.
    const point = journal.point()
    const entries = state.index.count
    // Outputs of a compaction count once the index points to them all.
    const parts = segments
      .sorted()
      .filter((one) => Number.isFinite(one.bornAt))
      .map((segment): Part => ({ segment, end: segment.end, chain: segment.file.chain(true) }))
    for (const { segment } of parts) {
      state.hold(segment)
      this.#held.add(segment)
    }
    // It goes with the segments as long as only the journal has grown since it was stored.
    const fits = found !== undefined && found.number === state.manifest.index?.number
    const index = fits && !state.moved ? found : undefined
    const manifest = manifestOf(
      state,
      parts.map(({ segment }) => segment),
      index && state.manifest.index,
      point,
      state.nextFile,
    )

    yield* journal.commit('disk')
    yield* this.#lookAtBase(parts)
    const bytes = parts.reduce((sum, { end }) => sum + end, index?.bytes ?? 0)
    this.#total = 2 * bytes
    const copies: FileCopy[] = []
    for (const part of parts) {
      if (yield* this.#linkSegment(part)) continue
      copies.push(yield* this.#copySegment(part))
    }
    if (index) copies.push(yield* this.#copyIndex(index))
    for (const copy of copies) {
      yield* copy.check(this.#buffer, (read) => this.#advance(read))
    }
    const { environment, folder } = this.#to
    const { cipher } = state.context.form
    yield* writeManifest(environment, folder, state.storeId, manifest, cipher)
    yield* readManifest(environment, folder, state.storeId, cipher)
    const linked = this.#linkedBytes === 0 ? {} : { linkedBytes: this.#linkedBytes }
    return { entries, bytes, version: point.sequence, ...linked }
  }

  /** Finds what can be shared with the base. */
  *#lookAtBase(parts: readonly Part[]): Routine<void> {
    const { environment, base } = this.#to
    if (base === undefined) return
    const { files } = environment
    const there = (yield* files.list(base)).map((name) => Number(JOURNAL_NAME.exec(name)?.[1] ?? 0))
    const here = parts.map(({ segment: { file, packed } }) => (packed ? 0 : file.number))
    const last = [Math.max(...there), Math.max(...here)]
    for (const { segment } of parts) {
      if (!segment.packed && last.includes(segment.file.number)) continue
      const name = nameOf(segment)
      const stat = yield* files.stat(`${base}/${name}`)
      if (stat?.kind === 'file') this.#shareable.set(name, stat.size)
    }
  }

  /** Whether the segment is shared with the base. */
  *#linkSegment(part: Part): Routine<boolean> {
    const { environment, folder, base } = this.#to
    const name = nameOf(part.segment)
    if (this.#shareable.get(name) !== part.end) return false
    const path = `${folder}/${name}`
    const link = yield* FileCopy.link(environment, path, `${base}/${name}`)
    if (link === undefined) return false
    const done = this.#done
    try {
      yield* this.#read(part, link)
      yield* link.check(this.#buffer, (read) => this.#advance(read))
    } catch (error) {
      if (!(error instanceof KvarkError) || error.path !== path) throw error
      // The base was written to since, or is damaged; or its system does not sync what is open for reading.
      yield* environment.files.remove(path)
      this.#done = done
      return false
    } finally {
      yield* link.close()
    }
    this.#linkedBytes += part.end
    this.#letGoOf(part)
    return true
  }

  /** Compaction may take away what is still held. */
  letGo(): void {
    for (const segment of this.#held) this.#state.letGo(segment)
    this.#held.clear()
  }

  *#copySegment(part: Part): Routine<FileCopy> {
    const copy = yield* this.#create(nameOf(part.segment))
    try {
      yield* this.#read(part, copy)
    } finally {
      yield* copy.close()
    }
    this.#letGoOf(part)
    return copy
  }

  #letGoOf({ segment }: Part): void {
    this.#held.delete(segment)
    this.#state.letGo(segment)
  }

  /** Reads and checks a segment; all of it is appended to the copy. */
  *#read({ segment: { file }, end, chain }: Part, copy: FileCopy): Routine<void> {
    const header = Buffer.alloc(FILE_HEADER_BYTES)
    yield* file.readAt(header, 0, header.length)
    if (!headerIntact(header, file.form)) {
      throw corruption(file.path, 0, 'a copy of the header is damaged')
    }
    yield* this.#checkAndCopy(file, end, chain, copy)
    // What the walk had no need to see: all of a segment without frames.
    while (copy.length < end) {
      const wanted = Math.min(this.#buffer.length, end - copy.length)
      const read = yield* file.readAt(this.#buffer, copy.length, wanted)
      if (read === 0) throw corruption(file.path, copy.length, 'the segment is cut short')
      yield* copy.append(this.#buffer, 0, read)
      this.#advance(read)
    }
    yield* copy.finish()
  }

  /** Walks a segment; what the walk reads is copied. */
  *#checkAndCopy(file: Segment, end: number, chain: Chain, copy: FileCopy): Routine<void> {
    const { pause } = this.#state.context.environment
    const source = this.#copying(file, copy)
    const walk = new SegmentWalk(source, FILE_HEADER_BYTES, end, this.#buffer, chain)
    for (;;) {
      const step = walk.next()
      if (step === NEED) {
        yield* pause
        yield* walk.fill()
      } else if (step === DAMAGED) {
        throw corruption(file.path, walk.address, 'a block is damaged')
      } else if (step === END) break
    }
  }

  /** The segment as a walk reads it, from front to back; what is read is appended to the copy. */
  #copying(file: Segment, copy: FileCopy): SegmentSource {
    const advance = (bytes: number): void => this.#advance(bytes)
    return {
      path: file.path,
      life: file.life,
      form: file.form,
      *readAt(target, position, length) {
        const read = yield* file.readAt(target, position, length)
        const from = copy.length - position
        if (from < read) {
          yield* copy.append(target, from, read)
          advance(read - from)
        }
        return read
      },
    }
  }

  *#copyIndex({ number, handle, bytes }: OpenIndex): Routine<FileCopy> {
    const copy = yield* this.#create(indexName(number))
    const { pause } = this.#state.context.environment
    try {
      while (copy.length < bytes) {
        const wanted = Math.min(this.#buffer.length, bytes - copy.length)
        const read = yield* handle.read(this.#buffer, 0, wanted, copy.length)
        if (read === 0) throw corruption(handle.path, copy.length, 'the stored index is cut short')
        yield* copy.append(this.#buffer, 0, read)
        this.#advance(read)
        yield* pause
      }
      yield* copy.finish()
    } finally {
      yield* copy.close()
    }
    return copy
  }

  *#create(name: string): Routine<FileCopy> {
    const { environment, folder } = this.#to
    return yield* FileCopy.create(environment, `${folder}/${name}`)
  }

  #advance(bytes: number): void {
    this.#signal?.throwIfAborted()
    this.#done += bytes
    this.#progress?.(this.#done, this.#total)
  }
}

/** Opens the stored index, if there is one that can be opened: a copy without it is whole, too. */
function* openStoredIndex({ manifest, context }: LogState): Routine<OpenIndex | undefined> {
  if (!manifest.index) return undefined
  const { number } = manifest.index
  let handle: FileHandle | undefined
  try {
    handle = yield* openFile(
      context.environment.files,
      `${context.folder}/${indexName(number)}`,
      'read',
    )
    return { number, handle, bytes: yield* handle.size() }
  } catch {
    // A newer one has replaced it, or it is lost.
    if (handle) yield* handle.close()
    return undefined
  }
}

function nameOf({ file, packed }: LogSegment): string {
  return packed ? packedName(file.number) : journalName(file.number)
}
