// Ranges of keys against a set of all keys that there are.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { KeyRanges, keyBehind } from './key-ranges.ts'

const ALL = Array.from({ length: 40 }, (_, i) => Buffer.from([i >>> 3, i & 7]))

test('ranges are the set of the keys in them', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed)
    const ranges = new KeyRanges()
    const keys = new Set<number>()
    assert.ok(ranges.isEmpty)
    for (let step = 0; step < 12; step++) {
      const low = random.below(ALL.length)
      const last = random.chance(0.1)
        ? ALL.length - 1
        : Math.min(ALL.length - 1, random.below(low + 5))
      const high = last === ALL.length - 1 ? undefined : keyBehind(ALL[last]!)
      if (last < low) continue
      ranges.add(ALL[low]!, high)
      for (let i = low; i <= last; i++) keys.add(i)
      assert.ok(!ranges.isEmpty)
      for (const [i, key] of ALL.entries()) assert.equal(ranges.has(key), keys.has(i))
      const from = random.below(ALL.length)
      const to = from + random.below(ALL.length - from)
      let some = false
      for (let i = from; i <= to; i++) some ||= keys.has(i)
      assert.equal(ranges.touches(ALL[from]!, ALL[to]!), some)
    }
  }
})

test('a key is behind another when nothing is between them', () => {
  assert.deepEqual(keyBehind(Buffer.from('a')), Buffer.from('a\0'))
})
