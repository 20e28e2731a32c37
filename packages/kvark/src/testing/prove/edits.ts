/** Changes that damage never makes: values that no field has, or only some other. */

import type { SeededRandom } from '../../bytes/random.ts'
import type { Content } from '../damage.ts'
import { isRecord, type Json } from './forger.ts'

/** The files after a change, and what it was. */
export interface Mutation {
  readonly files: Content
  readonly hint: string
}

const WEIRD: readonly Json[] = [
  [null, true, false, 0, 1, -1, 0.5, 255, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48],
  [2 ** 53, 1e300, -(2 ** 40), '', 'a', '1', 'x'.repeat(300), '__proto__', [], {}],
  [[null], [[]], { length: 1e9 }, [1, 2, 3], { number: 1 }],
].flat(1)

export class Edits {
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
  }

  /** JSON with a value somewhere in it replaced, removed or doubled. */
  json(json: Json): { value: Json; hint: string } {
    const random = this.#random
    const weird = random.pick(WEIRD)
    if (random.chance(0.03)) return { value: weird, hint: JSON.stringify(weird) }
    const value = structuredClone(json)
    let at: Json = value
    let path = ''
    for (;;) {
      const names = Object.keys(at as object)
      if (names.length === 0) return { value: weird, hint: JSON.stringify(weird) }
      const name = random.pick(names)
      path += `.${name}`
      const inner: Json = (at as { [name: string]: Json })[name]!
      if (typeof inner === 'object' && inner !== null && random.chance(0.75)) {
        if (Object.keys(inner).length > 0) {
          at = inner
          continue
        }
      }
      const what = random.below(6)
      if (what === 0 && isRecord(at)) {
        delete at[name]
        return { value, hint: `${path} removed` }
      }
      if (what === 1 && Array.isArray(at)) {
        at.push(structuredClone(inner))
        return { value, hint: `${path} twice` }
      }
      const put =
        what === 2 && typeof inner === 'number' ? inner + random.pick([-1, 1, 512]) : weird
      ;(at as { [name: string]: Json })[name] = structuredClone(put)
      return { value, hint: `${path} ${JSON.stringify(put).slice(0, 40)}` }
    }
  }

  /** Some bytes of what is in a block, the first `head` of them as often as all others. */
  payload(payload: Buffer, head: number): void {
    const random = this.#random
    for (let edits = 1 + random.below(3); edits > 0; edits--) {
      const most = random.chance(0.5) ? Math.min(payload.length, head) : payload.length
      this.#bytes(payload, random.below(most))
    }
  }

  /** A 32-bit number in place of another. */
  number(before: number): number {
    const random = this.#random
    return random.pick([0, 1, 2, before + 1, before ^ 1, 0xffff, 0x7fffffff, random.uint32()]) >>> 0
  }

  #bytes(payload: Buffer, at: number): void {
    const random = this.#random
    const what = random.below(4)
    if (what === 0) payload[at] = random.below(256)
    else if (what === 1) payload[at] = random.pick([0, 1, 2, 3, 5, 7, 9, 13, 0x7f, 0x80, 0xff])
    else if (what === 2) Buffer.from([0xff, 0xff, 0xff, 0xff, random.below(16)]).copy(payload, at)
    else Buffer.from(random.bytes(random.below(20))).copy(payload, at)
  }
}
