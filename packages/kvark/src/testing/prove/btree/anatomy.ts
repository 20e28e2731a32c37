/** The files of a tree: the tree file, and the journal in front of it. */

import { copyOf, ROOT_BYTES, ROOT_SLOTS, TREE_NAME } from '../../../engines/btree/format.ts'
import { STORED_LENGTH_AT, seedOf } from '../../../storage/block-form.ts'
import { HOLE_BYTES } from '../../../vfs/files.ts'
import { type Content, type DamagedForm, differences } from '../../damage.ts'
import {
  headerBytesOf,
  isSegment,
  repairBlock,
  repairSealed,
  repairSegment,
  segmentEdges,
  segmentPayloads,
} from '../../tampering.ts'
import type { Anatomy, Part } from '../anatomy.ts'
import type { StoredFiles } from '../forger.ts'
import type { SmallStore } from '../small-store.ts'
import { TreeForger } from './forger.ts'
import { treeInputs } from './inputs.ts'
import { treeMutations } from './mutations.ts'

const PAGE_BYTES = 4096
const LENGTH_AT = 8
const PLAIN_HEADER_BYTES = 12

export const btreeAnatomy: Anatomy = {
  // A branch with some leaves, and a key of which the rest is elsewhere.
  filling: [
    ...Array.from({ length: 8 }, (_, i): [string, string] => {
      return [`page ${i}`, `a good part of a page ${i} `.repeat(36)]
    }),
    ['k'.repeat(5000), 'a long key'],
  ],
  unitBytes: pageBytesOf,
  edges,
  harmless,
  repair,
  payloads,
  forger: (files, random) => new TreeForger(files, random),
  mutations: treeMutations,
  inputs: treeInputs,
}

function pageBytesOf({ pageBytes = PAGE_BYTES }: DamagedForm): number {
  return pageBytes
}

interface IdlePart extends Part {
  readonly what: string
}

/** A page as it lies in the tree file, if anything was ever written to it. */
interface StoredPage {
  readonly at: number
  readonly storedEnd: number
}

function pagesOf(tree: Buffer, form: DamagedForm): StoredPage[] {
  const pageBytes = pageBytesOf(form)
  const pages: StoredPage[] = []
  for (let at = ROOT_SLOTS * pageBytes; at + pageBytes <= tree.length; at += pageBytes) {
    // The copy of a root is none.
    if (tree.toString('latin1', at, at + 2) === '{"') continue
    const stored = storedBytesOf(tree, at, form)
    if (stored > headerBytesOf(form)) pages.push({ at, storedEnd: at + stored })
  }
  return pages
}

/** Of the page at `at`, as its header has it: what is in the file of it, but for zeros. */
function storedBytesOf(tree: Buffer, at: number, form: DamagedForm): number {
  const headerBytes = headerBytesOf(form)
  const lengthAt = headerBytes === PLAIN_HEADER_BYTES ? LENGTH_AT : STORED_LENGTH_AT
  return headerBytes + tree.readUInt16LE(at + lengthAt)
}

/** The text in the slots of the root. */
function rootsOf(tree: Buffer, form: DamagedForm): Part[] {
  return Array.from({ length: ROOT_SLOTS }, (_, slot) => {
    const from = slot * pageBytesOf(form)
    return { from, to: tree.indexOf(0, from) }
  })
}

function* edges(name: string, bytes: Buffer, { form }: SmallStore): Generator<number> {
  if (isSegment(name)) yield* segmentEdges(bytes, form)
  else if (name === TREE_NAME) {
    for (const { from, to } of rootsOf(bytes, form)) yield* [from, to, from + ROOT_BYTES]
    for (const { at, storedEnd } of pagesOf(bytes, form)) {
      yield* [at, at + headerBytesOf(form), storedEnd]
    }
  } else for (let at = 0; at < bytes.length; at += 7) yield at
}

/** Parts of the tree file that mean nothing, and why. */
function idleParts(store: SmallStore): readonly IdlePart[] {
  const { pages, tree, root } = forgerOf(store)
  const { pageBytes } = root
  const parts: IdlePart[] = rootsOf(tree, store.form).map(({ to }, slot) => {
    return { from: to + 1, to: (slot + 1) * pageBytes, what: 'of the room behind a root' }
  })
  for (let page = ROOT_SLOTS; page * pageBytes < tree.length; page++) {
    const at = page * pageBytes
    const to = at + pageBytes
    if (pages.has(page)) {
      const written = Math.ceil(storedBytesOf(tree, at, store.form) / HOLE_BYTES) * HOLE_BYTES
      parts.push({ from: at + written, to, what: 'of the rest of compressed pages' })
      continue
    }
    const what = page === copyOf(root) ? 'of the copy of a root' : 'of free pages'
    parts.push({ from: at, to, what })
  }
  return parts
}

const known = new WeakMap<Content, TreeForger>()

/** Somebody who only looks at the files. */
function forgerOf(files: StoredFiles): TreeForger {
  let forger = known.get(files.content)
  if (forger === undefined) {
    forger = new TreeForger(files, (length) => new Uint8Array(length))
    known.set(files.content, forger)
  }
  return forger
}

/**
 * What lies behind the roots, behind compressed pages and in free ones means nothing. When the store was closed, all was in the tree file; what is left of the
 * journal is the mark of that. Without it one of the two roots may be anything, as it is when the power fails while it is written.
 */
function harmless(store: SmallStore, damaged: Content): string | undefined {
  const names = differences(store.content, damaged)
  const what = new Set<string>()
  const isMarked = !names.some(isSegment)
  if (!isMarked) what.add('of the mark of a clean close')
  if (names.some((name) => !isSegment(name) && name !== TREE_NAME)) return undefined
  if (!names.includes(TREE_NAME)) return [...what].join()
  const original = store.content.get(TREE_NAME)!
  const found = damaged.get(TREE_NAME)
  if (found === undefined || found.length > original.length) return undefined
  // What was cut off is other bytes, all of them.
  const bytes = Buffer.from(original.map((byte, at) => found[at] ?? byte ^ 1))
  const roots = rootsOf(original, store.form)
  // With the zero behind it, which ends it: an older root may be longer.
  const texts = roots.map(({ from, to }) => ({ from, to: to + 1, what: 'of a root' }))
  const parts = [...idleParts(store), ...texts]
  const harmed = parts.filter(({ from, to }) => {
    return !original.subarray(from, to).equals(bytes.subarray(from, to))
  })
  const lost = harmed.filter((part) => part.what === 'of a root').length
  if (lost > 1 || (lost === 1 && isMarked)) return undefined
  const rest = Buffer.from(bytes)
  for (const { from, to } of harmed) original.copy(rest, from, from, to)
  for (const part of harmed) what.add(part.what)
  if (!rest.equals(original)) return undefined
  return what.size === 1 ? [...what].join() : 'of several of these'
}

function repair({ content, form }: StoredFiles, name: string, bytes: Buffer, at: number): void {
  const original = content.get(name)!
  if (isSegment(name)) repairSegment(bytes, original, at, form)
  else if (name !== TREE_NAME) repairSealed(bytes)
  else {
    const root = rootsOf(original, form).find(({ from, to }) => from <= at && at < to)
    if (root) repairSealed(bytes.subarray(root.from, root.to))
    const page = pagesOf(original, form).find((one) => one.at + 4 <= at && at < one.storedEnd)
    // The life of the file is sealed; but a checksum that is known tells its seed.
    if (page)
      repairBlock(bytes, page.at, form, seedOf(forgerOf({ content, form }).root.life, page.at))
  }
}

function payloads(name: string, bytes: Buffer, form: DamagedForm): Part[] {
  if (isSegment(name)) return segmentPayloads(bytes, form)
  if (name !== TREE_NAME) return []
  const headerBytes = headerBytesOf(form)
  return pagesOf(bytes, form).map(({ at, storedEnd }) => ({
    from: at + headerBytes,
    to: storedEnd,
  }))
}
