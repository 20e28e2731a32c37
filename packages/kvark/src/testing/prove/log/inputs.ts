/** What only a log turns into bytes and back: shards of its index. */

import assert from 'node:assert/strict'
import type { SeededRandom } from '../../../bytes/random.ts'
import { HashIndex } from '../../../engines/log/hash-index.ts'
import type { Input } from '../anatomy.ts'

const SHARDS = 256

export function logInputs(random: SeededRandom): readonly Input[] {
  return [['stored index', 1, () => tryIndex(random)]]
}

function tryIndex(random: SeededRandom): void {
  const index = new HashIndex()
  const shard = random.below(SHARDS)
  const positions = new Map<number, number>()
  for (let count = random.below(20); count > 0; count--) {
    const hash = ((shard << 24) | random.below(0x100_0000)) >>> 0
    if (positions.has(hash)) continue
    positions.set(hash, 1 + random.below(2 ** 30))
    index.insert(hash, positions.get(hash)!)
  }
  const words = new Uint32Array(index.dumpLength(shard))
  index.dump(shard, words)
  const copy = new HashIndex()
  assert.ok(copy.restore(shard, index.countOf(shard), index.homes[shard]!, words))
  for (const [hash, position] of positions) assert.ok(copy.has(hash, position))
  const garbage = words.map((word) => (random.chance(0.3) ? random.uint32() : word))
  const other = new HashIndex()
  const count = random.pick([garbage.length >>> 1, random.below(30), random.uint32()])
  const homes = random.pick([index.homes[shard]!, random.below(40), random.uint32()])
  if (!other.restore(shard, count, homes, garbage)) return
  const found: number[] = []
  for (const hash of positions.keys()) other.candidates(hash, found)
  other.candidates(((shard << 24) | random.below(0x100_0000)) >>> 0, found)
}
