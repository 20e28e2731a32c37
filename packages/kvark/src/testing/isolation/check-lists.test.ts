import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLists } from './check-lists.ts'
import type { Run, Step } from './history.ts'

/** `r x 1 2`: x is read as [1, 2]; `a x 3`: 3 is appended to x. */
function run(client: number, text: string, committed = true): Run {
  const steps = text.split(', ').map((one): Step => {
    const [verb, key, ...values] = one.split(' ')
    const numbers = values.map(Number)
    return verb === 'r' ? { read: key!, list: numbers } : { append: key!, value: numbers[0]! }
  })
  return { client, steps, committed }
}

const cases: [name: string, problem: RegExp | undefined, history: Run[]][] = [
  [
    'one after the other',
    undefined,
    [run(0, 'a x 1, a y 2'), run(1, 'r x 1, r y 2, a x 3'), run(2, 'r x 1 3, r y 2')],
  ],
  [
    'what was aborted is not judged, but for what it saw of itself',
    undefined,
    [run(0, 'a x 1'), run(1, 'r x, a y 2', false), run(2, 'r x 1, r y')],
  ],
  [
    'aborted read',
    /aborted read: run 1/,
    [run(0, 'a x 1', false), run(1, 'r x 1'), run(2, 'r x 1')],
  ],
  [
    'intermediate read',
    /intermediate read: run 1/,
    [run(0, 'a x 1, a x 2'), run(1, 'r x 1'), run(2, 'r x 1 2')],
  ],
  [
    'lost update',
    /incompatible|lost|G/,
    [run(0, 'r x, a x 1'), run(1, 'r x, a x 2'), run(2, 'r x 2')],
  ],
  [
    'lost update that is seen',
    /G-single/,
    [run(0, 'r x, a x 1'), run(1, 'r x, a x 2'), run(2, 'r x 1 2')],
  ],
  ['write skew', /G2/, [run(0, 'r x, a y 1'), run(1, 'r y, a x 2'), run(2, 'r x 2, r y 1')]],
  ['read skew', /G-single/, [run(0, 'a x 1, a y 2'), run(1, 'r x 1, r y'), run(2, 'r x 1, r y 2')]],
  [
    'circular flow of what was written',
    /G1c/,
    [run(0, 'a x 1, r y 2'), run(1, 'a y 2, r x 1'), run(2, 'r x 1, r y 2')],
  ],
  [
    'writes in different orders',
    /G1c/,
    [run(0, 'a x 1, a y 4'), run(1, 'a x 2, a y 3'), run(2, 'r x 1 2, r y 3 4')],
  ],
  [
    'a list that shrinks',
    /incompatible orders/,
    [run(0, 'a x 1'), run(1, 'a x 2'), run(2, 'r x 1'), run(3, 'r x 2'), run(4, 'r x 1 2')],
  ],
  ['own appends that are not seen', /run 0 read \[\]/, [run(0, 'a x 1, r x'), run(1, 'r x 1')]],
  [
    'a read that does not repeat',
    /run 1 read \[1\]/,
    [run(0, 'a x 1'), run(1, 'r x, r x 1'), run(2, 'r x 1')],
  ],
  ['what nobody appended', /nobody appended/, [run(0, 'r x 7')]],
  [
    'a client that does not see its own past',
    /G-single/,
    [run(0, 'a x 1'), run(0, 'r x'), run(1, 'r x 1')],
  ],
]

for (const [name, problem, history] of cases) {
  test(`${name} is ${problem === undefined ? 'allowed' : 'found'}`, () => {
    const problems = checkLists(history)
    if (problem === undefined) assert.deepEqual(problems, [])
    else assert.match(problems.join('\n'), problem)
  })
}
