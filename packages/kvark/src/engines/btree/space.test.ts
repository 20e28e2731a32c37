// Which pages are in use, and who keeps those that the tree has left: each against a set.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { Space } from './space.ts'
import { type View, Views } from './views.ts'

test('the lowest free page is taken, runs lie in a row, and what is saved comes back', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed)
    let space = new Space()
    const used = new Set<number>()
    let floor = 0
    for (let step = 0; step < 1000; step++) {
      const chance = random.below(100)
      if (chance < 45) {
        const page = space.take()
        let lowest = floor
        while (used.has(lowest)) lowest++
        assert.equal(page, lowest)
        used.add(page)
      } else if (chance < 55) {
        const count = 1 + random.below(70)
        const first = space.takeRun(count)
        assert.ok(first >= floor)
        for (let i = 0; i < count; i++) {
          assert.ok(!used.has(first + i))
          used.add(first + i)
        }
      } else if (chance < 58) {
        floor = random.below(3) === 0 ? random.below(200) : 0
        space.above(floor)
      } else if (chance < 60) {
        const left = new Set([...used].filter(() => random.chance(0.9)))
        const gone = [...used].filter((page) => !left.has(page))
        const saved = space.save((visit) => gone.forEach(visit))
        space = Space.restore(saved)
        space.above(floor)
        for (const page of gone) used.delete(page)
      } else if (used.size > 0) {
        const page = random.pick([...used])
        space.give(page)
        used.delete(page)
      }
      assert.equal(space.used, used.size)
      assert.equal(space.end, Math.max(0, ...[...used].map((page) => page + 1)))
      for (let page = 0; page < 20; page++) assert.equal(space.has(page), used.has(page))
    }
  }
})

test('a page that was left is free when the last view that sees it has ended', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new SeededRandom(seed)
    const born: number[] = []
    const freed = new Set<number>()
    const views = new Views(
      (page) => born[page]!,
      (page) => {
        assert.ok(!freed.has(page), 'once only')
        freed.add(page)
      },
    )
    const living: View[] = []
    /** Pages of the tree, and the views that see those that it has left. */
    const present: number[] = []
    const seen = new Map<number, Set<View>>()
    for (let step = 0; step < 300; step++) {
      const chance = random.below(100)
      if (chance < 20) living.push(views.add())
      else if (chance < 40 && living.length > 0) {
        const [view] = living.splice(random.below(living.length), 1)
        if (random.chance(0.5)) while (views.loosen(view!, 2));
        views.end(view!)
        for (const by of seen.values()) by.delete(view!)
      } else if (chance < 70) {
        born.push(views.epoch)
        present.push(born.length - 1)
      } else if (present.length > 0) {
        const [page] = present.splice(random.below(present.length), 1)
        seen.set(page!, new Set(living.filter(({ epoch }) => born[page!]! <= epoch)))
        views.leave(page!)
      }
      for (const [page, by] of seen) assert.equal(freed.has(page), by.size === 0)
      for (const page of present) assert.ok(!freed.has(page))
      const kept = new Set<number>()
      views.eachKept((page) => kept.add(page))
      assert.deepEqual(
        kept,
        new Set([...seen].filter(([, by]) => by.size > 0).map(([page]) => page)),
      )
    }
  }
})
