/** What can be done to the files that only a log has: its list of files, and the stored index. */

import type { SeededRandom } from '../../../bytes/random.ts'
import { changed } from '../../tampering.ts'
import type { Edits, Mutation } from '../edits.ts'
import type { StoredFiles } from '../forger.ts'
import { LogForger } from './forger.ts'

const MANIFEST = 'MANIFEST'

export function logMutations(
  files: StoredFiles,
  edits: Edits,
  random: SeededRandom,
): readonly (() => Mutation)[] {
  const { content } = files
  const forger = new LogForger(files, (length) => random.bytes(length))

  const manifest = (): Mutation => {
    const { value, hint } = edits.json(forger.json(MANIFEST))
    const bytes = forger.file(MANIFEST, value)
    return { files: changed(content, MANIFEST, bytes), hint: `${MANIFEST}: ${hint}` }
  }

  const footer = (name: string): Mutation => {
    const { value, hint } = edits.json(forger.footer(name))
    return {
      files: changed(content, name, forger.withFooter(name, value)),
      hint: `${name}, footer: ${hint}`,
    }
  }

  const shard = (name: string): Mutation => {
    const one = random.pick(forger.shards(name))
    const bytes = forger.withShard(name, one, (record, slots) => {
      for (let left = 1 + random.below(3); left > 0; left--) {
        // Count, slots, sequence, homes, or what is in a slot.
        const place = [0, 4, 8, 16][random.below(6)]
        if (place !== undefined)
          record.writeUInt32LE(edits.number(record.readUInt32LE(place)), place)
        else {
          const word = 4 * random.below(slots.length >>> 2)
          slots.writeUInt32LE(edits.number(slots.readUInt32LE(word)), word)
        }
      }
    })
    return { files: changed(content, name, bytes), hint: `${name}, shard ${one.number}` }
  }

  const index = [...content.keys()].find((name) => name.endsWith('.index'))
  // Twice as often as each of the others: all else hangs on it.
  const kinds = [manifest, manifest]
  return index === undefined ? kinds : [...kinds, () => footer(index), () => shard(index)]
}
