/**
 * Follows a journal that somebody else writes: takes no lock, changes nothing, and gives the frames that have come.
 *
 *   begin ─► to the end of the newest segment
 *   poll  ─► whole frames behind it ─► the next segment, if it says that it goes on just there ─► …        lost ─► begin
 *
 * 1. A frame is given as recovery takes it: all its blocks are there and hold, it names the one before, its sequences go on. So an end
 *    that is half written waits, and of a batch all entries are given, or none.
 * 2. What is given has been handed to the operating system. It need not be on the disk yet: a power failure may take it back.
 * 3. A segment is read to its end through the handle that is open, also when its name is gone. So nothing is missed as long as the
 *    segment behind it is still there; otherwise the follower is lost, and says so.
 * 4. What has been given must still be there. Where it is not, as with an older copy of the store in its place, the store is not the one
 *    that was followed.
 * 5. Where there is no segment, as when a tree holds everything, nothing tells here that another one has come and gone between two polls:
 *    it takes itself for lost now and then. So it does, once nothing comes any more, where a log has compacted: that may have taken later
 *    segments away and left the one that was read last.
 * 6. Damage with whole frames behind it is no end: `CORRUPTION`, after it has been looked at for a while.
 *
 * Only segments of the journal are read (`N.log`): what compaction copies is no news. What entries mean is not known here.
 */

import { readU32, writeU48 } from '../bytes/varint.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption, KvarkError } from '../errors.ts'
import type { FileHandle } from '../vfs/files.ts'
import { type Descriptor, readDescriptor } from './descriptor.ts'
import { REFERENCE } from './entry.ts'
import { type JournalEntry, journalName, journalNumber, readPart } from './journal-recovery.ts'
import { TEMPORARY_SUFFIX } from './sealed-file.ts'
import { Segment } from './segment.ts'
import { FILE_HEADER_BYTES, readSegmentHeader } from './segment-format.ts'
import type { SegmentStore } from './segment-opening.ts'
import { COMPLETE, DAMAGED, END, ENTRY, FRAME, NEED, SegmentWalk } from './segment-walk.ts'

/** A poll gives no more than the frame that passes this. */
const POLL_BYTES = 4 * 1024 * 1024
const EXTENT_BYTES = 256 * 1024
/** After so many polls that find the same damage, it is not somebody writing. */
const MOST_STALLS = 20
/** After so many polls that cannot tell whether there was anything, somebody has to look what the store holds. */
const MOST_BLIND = 10
const CHANGED = 'has been replaced, or has lost what was written last'
/** Where a segment's header has its life. */
const LIFE_AT = 32

/** Which values are read: shorter ones, and that of one key. */
export interface FollowedValues {
  readonly shorterThan: number
  readonly always: Buffer
}

/** What was written as a whole: one batch, or several. A value that is too long is a `REFERENCE` with its length (u48) instead. */
export type FollowedFrame = readonly JournalEntry[]

/** A word of a segment, and where it is: it stands for all before it. */
interface Mark {
  readonly address: number
  readonly word: number
}

export class JournalFollower {
  readonly #store: SegmentStore
  readonly #wanted: FollowedValues
  readonly #references: boolean
  readonly #extent = Buffer.allocUnsafeSlow(EXTENT_BYTES)
  /** `undefined`: the next one is not there yet. */
  #file: Segment | undefined
  /** Of the last segment that was there; 0: there was none. */
  #number = 0
  /** Behind the last frame: its end, its checksum, its last sequence. */
  #position = 0
  #checksum = 0
  #sequence = 0
  #mark: Mark = { address: 0, word: 0 }
  /** All up to it is known from elsewhere, whether or not its segments are there. */
  #known = 0
  /** Whether anything lies between that and the segment is not known: its first sequence has to tell that nothing is missing. */
  #loose = false
  /** The last sequence before it began anew. */
  #before = 0
  #lost = false
  /** The last read ended at a damaged block; polls that have found it so. */
  #damaged = false
  #stalls = 0
  /** Polls that have found nothing, and could not tell whether there was anything. */
  #blind = 0
  /** What compaction has made, now and when it began. */
  #made = ''
  #madeBefore = ''

  /** `references`: whether entries may be `REFERENCE`s. */
  constructor(store: SegmentStore, wanted: FollowedValues, references: boolean) {
    this.#store = store
    this.#wanted = wanted
    this.#references = references
  }

  /** Goes to the end of what is there; then `expect` has to be told how far that must be. */
  *begin(): Routine<void> {
    yield* this.close()
    this.#lost = false
    this.#loose = false
    this.#number = 0
    this.#before = Math.max(this.#sequence, this.#known)
    this.#sequence = 0
    this.#blind = 0
    const numbers = yield* this.#numbers()
    this.#madeBefore = this.#made
    for (const number of numbers.reverse()) {
      const file = yield* this.#open(number)
      if (file === undefined) continue
      yield* this.#goTo(file)
      yield* this.#read(undefined)
      return
    }
  }

  /** So much has been written by now, and is known: what is there of it may be given once more. */
  *expect(sequence: number): Routine<void> {
    if (sequence < this.#before) yield* this.#fail()
    this.#known = sequence
  }

  /** Frames that have come since, in order; `undefined`: lost, `begin` again. `NOT_FOUND`: the store is not there any more, or not as it was. */
  *poll(): Routine<FollowedFrame[] | undefined> {
    const frames: FollowedFrame[] = []
    let goesOn = true
    while (goesOn) {
      const isFull = yield* this.#read(frames)
      goesOn = !isFull && !this.#lost && (yield* this.#goOn(frames))
    }
    if (frames.length > 0) {
      this.#blind = 0
      return frames
    }
    if (!this.#lost) yield* this.#check()
    return this.#lost ? undefined : frames
  }

  *close(): Routine<void> {
    const file = this.#file
    this.#file = undefined
    if (file !== undefined) yield* file.handle.close()
  }

  /** Of the segments that are there, smallest first. */
  *#numbers(): Routine<number[]> {
    const { environment, folder } = this.#store
    try {
      const names = yield* environment.files.list(folder)
      this.#made = names.filter(isMade).sort().join()
      const numbers = names.map(journalNumber)
      return numbers.filter((number) => number > 0).sort((a, b) => a - b)
    } catch (error) {
      if (isMissing(error)) throw this.#gone()
      throw error
    }
  }

  /** `undefined`: it has gone meanwhile, or is not complete yet. */
  *#open(number: number): Routine<Segment | undefined> {
    const { folder, descriptor, form } = this.#store
    const handle = yield* this.#openToRead(`${folder}/${journalName(number)}`)
    if (handle === undefined) return undefined
    let file: Segment | undefined
    try {
      const start = Buffer.alloc(FILE_HEADER_BYTES)
      const read = yield* handle.read(start, 0, start.length, 0)
      const header = readSegmentHeader(start, read, handle.path, descriptor.storeId, form.blocks)
      if (header?.number === number) file = new Segment(handle, header, form.blocks, 0, true)
      return file
    } catch (error) {
      yield* this.checkStore()
      throw error
    } finally {
      if (file === undefined) yield* handle.close()
    }
  }

  *#openToRead(path: string): Routine<FileHandle | undefined> {
    try {
      return yield* this.#store.environment.files.open(path, 'read')
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** To the beginning of a segment. */
  *#goTo(file: Segment): Routine<void> {
    yield* this.close()
    this.#file = file
    this.#number = file.number
    this.#position = FILE_HEADER_BYTES
    this.#checksum = file.header.previousChecksum
    this.#mark = { address: LIFE_AT, word: file.life }
    this.#stalls = 0
  }

  /** To the next segment, if there is one; false where there is none, or it does not go on here. */
  *#goOn(frames: FollowedFrame[]): Routine<boolean> {
    const now = this.#number
    const [number] = (yield* this.#numbers()).filter((one) => one > now)
    const next = number === undefined ? undefined : yield* this.#open(number)
    if (next === undefined) return false
    let goesOn = false
    try {
      const { previousNumber, previousEnd, previousChecksum } = next.header
      // By the time that there is a next one, all of this one is there.
      if (yield* this.#read(frames)) return false
      const isWhole = previousEnd === this.#position && previousChecksum === this.#checksum
      const isNext = this.#file !== undefined && previousNumber === now && isWhole
      // Those between may have gone before anybody looked: what they had is known.
      goesOn = isNext || this.#file === undefined || this.#sequence < this.#known
      this.#lost = !goesOn
      this.#loose = !isNext
      if (goesOn) yield* this.#goTo(next)
      return goesOn
    } finally {
      if (!goesOn) yield* next.handle.close()
    }
  }

  /** Reads frames to the end, or, where they are wanted, until there are many: then it is true. */
  *#read(frames: FollowedFrame[] | undefined): Routine<boolean> {
    const file = this.#file
    this.#damaged = false
    if (file === undefined) return false
    file.end = yield* file.handle.size()
    const walk = new SegmentWalk(file, this.#position, file.end, this.#extent)
    walk.entry.references = this.#references
    let mark: Mark | undefined
    let entries: JournalEntry[] = []
    let sequence = 0
    let bytes = 0
    for (;;) {
      const step = walk.next()
      if (step === NEED) yield* walk.fill()
      else if (step === FRAME) {
        const { previousChecksum, firstSequence } = walk.frame!
        const goesOn = previousChecksum === this.#checksum && firstSequence > this.#sequence
        if (mark !== undefined || !goesOn) return false
        if (this.#loose && firstSequence > this.#known + 1) {
          this.#lost = true
          return false
        }
        mark = { address: walk.address, word: walk.checksum }
        entries = []
        sequence = firstSequence - 1
      } else if (step === ENTRY) {
        if (walk.entry.sequence !== ++sequence) return false
        const entry = frames && (yield* this.#entry(walk))
        if (frames && entry === undefined) return false
        if (entry) entries.push(entry)
      } else if (step === COMPLETE) {
        bytes += walk.position - this.#position
        this.#position = walk.position
        this.#checksum = walk.checksum
        this.#sequence = sequence
        this.#loose = false
        this.#stalls = 0
        this.#mark = mark!
        mark = undefined
        if (entries.length > 0) frames?.push(entries)
        if (frames && bytes >= POLL_BYTES) return true
      } else {
        this.#damaged = step === DAMAGED
        return false
      }
    }
  }

  /** `undefined`: its bytes are not all there. */
  *#entry(walk: SegmentWalk): Routine<JournalEntry | undefined> {
    const { kind, flags, length, keyLength, valueLength, sequence, expiry } = walk.entry
    const { shorterThan, always } = this.#wanted
    const key = yield* readPart(walk, length, keyLength)
    if (key === undefined) return undefined
    if (valueLength >= shorterThan && (flags & REFERENCE) === 0 && !key.equals(always)) {
      const value = Buffer.alloc(6)
      writeU48(value, 0, valueLength)
      return { kind, flags: REFERENCE, key, value, sequence, expiry }
    }
    const value = yield* readPart(walk, length + keyLength, valueLength)
    return value && { kind, flags, key, value, sequence, expiry }
  }

  /** When nothing has come: is that as it should be? */
  *#check(): Routine<void> {
    yield* this.checkStore()
    const file = this.#file
    if (file === undefined) {
      this.#lost = ++this.#blind === MOST_BLIND
      return
    }
    const handle = yield* this.#openToRead(file.path)
    // It is complete, and was taken away; perhaps others were, too, before anybody saw them.
    this.#lost = handle === undefined
    if (handle === undefined) return
    try {
      const { address, word } = this.#mark
      const bytes = Buffer.alloc(4)
      const read = yield* handle.read(bytes, 0, 4, address)
      if (read < 4 || readU32(bytes, 0) !== word) yield* this.#fail()
    } finally {
      yield* handle.close()
    }
    this.#stalls = this.#damaged ? this.#stalls + 1 : 0
    if (this.#stalls >= MOST_STALLS && (yield* this.#isInTheMiddle(file))) {
      throw corruption(file.path, this.#position, 'a block in the middle of the journal is damaged')
    }
    if (this.#made !== this.#madeBefore) this.#lost = ++this.#blind === MOST_BLIND
  }

  /** Whether there is a later frame behind the damage at the end. */
  *#isInTheMiddle(file: Segment): Routine<boolean> {
    this.#stalls = 0
    const walk = new SegmentWalk(file, this.#position, file.end)
    let isBehind = false
    for (;;) {
      const step = walk.next()
      if (step === NEED) yield* walk.fill()
      else if (step === DAMAGED) {
        isBehind = true
        walk.skipDamage()
      } else if (step === FRAME) {
        if (isBehind && walk.frame!.firstSequence > this.#sequence) return true
        walk.skipFrame()
      } else if (step === END) return false
    }
  }

  /** `NOT_FOUND` where the store is there no more, or another one is. */
  *checkStore(): Routine<void> {
    const { environment, folder, descriptor } = this.#store
    let found: Descriptor | undefined
    try {
      found = yield* readDescriptor(environment, folder)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    if (found?.storeId !== descriptor.storeId) throw this.#gone(found && CHANGED)
  }

  /** Something is not as it was. While a store is removed, all of it is for a moment. */
  *#fail(): Routine<never> {
    yield* this.checkStore()
    throw this.#gone(CHANGED)
  }

  #gone(how = 'is not there any more'): KvarkError {
    const { folder: path } = this.#store
    return new KvarkError('NOT_FOUND', `The store ${path}, which was followed, ${how}.`, { path })
  }
}

/** Whether a file is neither a segment of the journal nor under way. */
function isMade(name: string): boolean {
  return /^\d/.test(name) && journalNumber(name) === 0 && !name.endsWith(TEMPORARY_SUFFIX)
}

function isMissing(error: unknown): boolean {
  return error instanceof KvarkError && error.errno === 'ENOENT'
}
