/** What can be done to the files that only a tree has: its roots, its pages, the map of those. */

import type { SeededRandom } from '../../../bytes/random.ts'
import { writeU32, writeU48 } from '../../../bytes/varint.ts'
import { SUM_AT } from '../../../engines/btree/branch.ts'
import { PIECE, ROOT_SLOTS, TREE_NAME, TREE_PAGE } from '../../../engines/btree/format.ts'
import type { Page } from '../../../engines/btree/page.ts'
import { changed } from '../../tampering.ts'
import type { Edits, Mutation } from '../edits.ts'
import type { StoredFiles } from '../forger.ts'
import { TreeForger } from './forger.ts'

/** Of a page, and of the slots behind it. */
const HEAD_BYTES = 64

export function treeMutations(
  files: StoredFiles,
  edits: Edits,
  random: SeededRandom,
): readonly (() => Mutation)[] {
  const forger = new TreeForger(files, (length) => random.bytes(length))
  const { pageBytes } = forger.root
  const pages = [...forger.pages.values()]
  const branches = pages.filter(({ level }) => level > 0)
  const count = forger.tree.length / pageBytes

  /** A page that there is, perhaps one above, or none. */
  const anyPage = (): number => {
    return random.chance(0.7)
      ? random.below(count + 1)
      : random.pick([2 ** 31, 2 ** 32, 2 ** 40, 2 ** 48 - 1])
  }

  const root = (): Mutation => {
    const { value, hint } = edits.json(forger.rootJson())
    const slots = random.pick([[0], [1], [0, 1], [0, 1]])
    return { files: forger.withRoot(value, slots), hint: `root in ${slots.join()}: ${hint}` }
  }

  const page = (): Mutation => {
    const { number, level } = random.pick(pages)
    const changedFiles = forger.withPage(number, (_, payload, header) => {
      if (random.chance(0.05)) header.flags = random.pick([0, TREE_PAGE, PIECE, 3, 255])
      if (random.chance(0.05)) header.mark = edits.number(header.mark)
      edits.payload(payload, HEAD_BYTES)
    })
    return { files: changedFiles, hint: `page ${number}, level ${level}` }
  }

  /** The body of an entry: a child that is elsewhere, a value that is longer, lies elsewhere, or has another form. */
  const body = (): Mutation => {
    const inTree = pages.filter(({ level }) => level >= 0)
    const { number, level } = random.pick(inTree)
    const changedFiles = forger.withPage(number, (looked) => {
      looked.read(random.below(looked.count))
      editBody(looked)
    })
    return { files: changedFiles, hint: `body in page ${number}, level ${level}` }
  }

  const editBody = ({ bytes, bodyAt, bodyLength, referenceAt, referenceLength }: Page): void => {
    const from = referenceLength > 0 && random.chance(0.5) ? referenceAt : bodyAt
    const length = from === bodyAt ? bodyLength : referenceLength
    const at = from + random.below(length)
    const room = from + length - at
    const what = random.below(4)
    if (what === 0) bytes[at] = random.below(256)
    else if (what === 1) bytes[from] = random.below(16)
    else if (what === 2 && room >= 4) writeU32(bytes, at, edits.number(bytes.readUInt32LE(at)))
    else if (room >= 6) writeU48(bytes, at, anyPage())
  }

  /** A child that is one of the pages above it, or another's: found by its checksum only if that is not asked for. */
  const child = (): Mutation => {
    const { number } = random.pick(branches)
    const changedFiles = forger.withPage(number, (looked) => {
      looked.read(random.below(looked.count))
      writeU48(looked.bytes, looked.bodyAt, random.chance(0.5) ? number : anyPage())
      writeU32(looked.bytes, looked.bodyAt + SUM_AT, 0)
    })
    return { files: changedFiles, hint: `child in page ${number}` }
  }

  const map = (): Mutation => {
    const [[first] = [ROOT_SLOTS]] = forger.root.map.runs
    const changedFiles = forger.withPage(first, (_, payload) => {
      const { length } = forger.root.map
      for (let left = 1 + random.below(3); left > 0; left--) {
        payload[random.below(length)] = random.pick([0, 255, random.below(256)])
      }
    })
    return { files: changedFiles, hint: 'map' }
  }

  /** A page as it lies in another's place, or zeros. */
  const place = (): Mutation => {
    const tree = Buffer.from(forger.tree)
    const [from, to] = [random.below(count), random.below(count)]
    if (random.chance(0.3)) tree.fill(0, to * pageBytes, (to + 1) * pageBytes)
    else forger.tree.copy(tree, to * pageBytes, from * pageBytes, (from + 1) * pageBytes)
    return { files: changed(files.content, TREE_NAME, tree), hint: `page ${from} in ${to}` }
  }

  const kinds = [root, root, page, page, page, body, body, map, place]
  return branches.length === 0 ? kinds : [...kinds, child]
}
