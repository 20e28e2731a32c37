/** The files of a log: segments, their list, the stored index. */

import { runSync } from '../../../environment/routine.ts'
import { storeForm } from '../../../storage/block-form.ts'
import { WINDOW_BYTES } from '../../../storage/segment-format.ts'
import { END, ENTRY, NEED, SegmentWalk } from '../../../storage/segment-walk.ts'
import { type Content, differences } from '../../damage.ts'
import {
  footerOf,
  INDEX_TRAILER_BYTES,
  SHARD_RECORD_BYTES,
  SHARD_TABLE_BYTES,
  shardsOf,
} from '../../stored-index.ts'
import {
  closeFrame,
  isSegment,
  repair,
  segmentEdges,
  segmentPayloads,
  sourceOf,
} from '../../tampering.ts'
import type { Anatomy } from '../anatomy.ts'
import type { SmallStore } from '../small-store.ts'
import { LogForger } from './forger.ts'
import { logInputs } from './inputs.ts'
import { logMutations } from './mutations.ts'

const MANIFEST = 'MANIFEST'
/** Small disks write so much as one. */
const UNIT_BYTES = 4096

export const logAnatomy: Anatomy = {
  filling: [],
  unitBytes: () => UNIT_BYTES,
  edges,
  harmless,
  repair: ({ content, form }, name, bytes, at) => {
    repair(name, bytes, content.get(name)!, at, form)
  },
  payloads: (name, bytes, form) => (isSegment(name) ? segmentPayloads(bytes, form) : []),
  forger: (files, random) => new LogForger(files, random),
  mutations: logMutations,
  inputs: logInputs,
}

function* edges(name: string, bytes: Buffer, store: SmallStore): Generator<number> {
  if (isSegment(name)) {
    yield* segmentEdges(bytes, store.form)
    yield* recordsOf(bytes, store)
    for (let at = 0; at < bytes.length; at += WINDOW_BYTES) yield at
  } else if (name.endsWith('.index')) {
    // Where the encrypted shards lie is sealed.
    const shards = store.form.encryption ? [] : shardsOf(footerOf(bytes), false)
    for (const { at } of shards) yield at
    const start = bytes.length - INDEX_TRAILER_BYTES - footerOf(bytes).length
    const end = start + SHARD_TABLE_BYTES
    for (let at = start; at < end; at += 32 * SHARD_RECORD_BYTES) yield at
    yield end
    yield bytes.length - INDEX_TRAILER_BYTES
  } else for (let at = 0; at < bytes.length; at += 7) yield at
}

/** Where the entries of a segment begin, where they can be read without a key. */
function recordsOf(bytes: Buffer, { form }: SmallStore): number[] {
  if (form.encryption) return []
  const { checksum = 'crc32', compression = 'none' } = form
  const { blocks } = storeForm(
    { checksum, compression, encryption: undefined },
    () => new Uint8Array(0),
  )
  const walk = new SegmentWalk(sourceOf(bytes, blocks), 0, bytes.length)
  const starts: number[] = []
  for (;;) {
    const step = walk.next()
    if (step === NEED) runSync(walk.fill())
    else if (step === ENTRY) starts.push(walk.address, walk.address + walk.entry.length)
    else if (step === END) return starts
  }
}

/**
 * The close frame and what fills the sector before it: without it a store is as a crash right before it leaves it, and nothing is
 * lost. So it is where the manifest that went with the close frame is lost as well, and the one before is there.
 */
function harmless({ content, form, earlier }: SmallStore, damaged: Content): string | undefined {
  const { name, at } = closeFrame(content, form)
  const manifest = damaged.get(MANIFEST)
  const isOld = manifest && earlier.some((files) => files.get(MANIFEST)?.equals(manifest))
  const names = differences(content, damaged).filter((one) => one !== MANIFEST || !isOld)
  const bytes = damaged.get(name)?.subarray(0, at)
  const before = content.get(name)!.subarray(0, at)
  const isClose = names.length === 1 && names[0] === name && bytes && before.equals(bytes)
  return isClose ? 'of the mark of a clean close' : undefined
}
