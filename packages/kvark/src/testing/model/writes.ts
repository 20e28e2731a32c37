/**
 * Writes of a model run that are under way at the same time, and what may be there of them.
 *
 *   base │ write 1 │ write 2 │ … │ write n        in the order of the calls
 *        └ apart: loads and streams, whose place is where they end
 *
 * 1. What a view holds is what the first of the writes make, each as a whole, and of those that are apart everything or nothing each.
 * 2. No other write has a key of one that is apart, so that its place among them does not matter.
 * 3. A read gives a state that its key has had since the read began.
 */

import assert from 'node:assert/strict'
import { type ModelKey, sameBytes, shownValue } from './things.ts'

export interface Stored {
  readonly value: Uint8Array
  /** −1 as long as it is not known. */
  version: number
}
export type Model = Map<ModelKey, Stored>

export interface Begun {
  /** What becomes of its keys; `undefined`: they go. */
  readonly changes: ReadonlyMap<ModelKey, Stored | undefined>
  readonly apart: boolean
  /** What was there for sure when it began. */
  readonly before: View
  outcome: 'open' | 'done' | 'refused'
}

/** What must be there at least: so many of the writes in order, and these of the others. */
export interface View {
  readonly least: number
  readonly apart: ReadonlySet<Begun>
}

export class Writes {
  readonly #base: ReadonlyMap<ModelKey, Stored>
  readonly #ordered: Begun[] = []
  readonly #apart: Begun[] = []
  readonly #owner: Map<ModelKey, Begun> = new Map()
  /** By key, the states that it has had, beginning with that of the base. */
  readonly #states: Map<ModelKey, { readonly stored: Stored | undefined; readonly by?: Begun }[]> =
    new Map()
  /** What all of them make, but for those apart that have not ended. */
  readonly now: Model
  /** What stays, whatever happens. */
  kept: View = { least: 0, apart: new Set() }

  constructor(base: ReadonlyMap<ModelKey, Stored>) {
    this.#base = new Map(base)
    this.now = new Map(base)
  }

  /** The keys that a write has touched. */
  get touched(): Iterable<ModelKey> {
    return this.#owner.keys()
  }

  /** Whether a write in order, or one that is apart, may have the key. */
  isFree(key: ModelKey, apart: boolean): boolean {
    const owner = this.#owner.get(key)
    return owner === undefined || (!apart && !owner.apart)
  }

  begin(changes: ReadonlyMap<ModelKey, Stored | undefined>, apart = false): Begun {
    const begun: Begun = { changes, apart, before: this.view(), outcome: 'open' }
    const list = apart ? this.#apart : this.#ordered
    list.push(begun)
    for (const [key, stored] of changes) {
      assert.ok(this.isFree(key, apart), `two writes of ${key.name}`)
      this.#owner.set(key, begun)
      this.#statesOf(key).push({ stored, by: begun })
      if (!apart) change(this.now, key, stored)
    }
    return begun
  }

  done(begun: Begun, durable: boolean): void {
    begun.outcome = 'done'
    if (begun.apart) for (const [key, stored] of begun.changes) change(this.now, key, stored)
    if (!durable) return
    this.keep(begun.before)
    const { least, apart } = this.kept
    if (begun.apart) this.kept = { least, apart: new Set([...apart, begun]) }
    else this.kept = { least: Math.max(least, this.#ordered.indexOf(begun) + 1), apart }
  }

  /** It has left no trace. */
  refuse(begun: Begun): void {
    begun.outcome = 'refused'
  }

  /** All that this view had stays. */
  keep({ least, apart }: View): void {
    this.kept = {
      least: Math.max(least, this.kept.least),
      apart: new Set([...this.kept.apart, ...apart]),
    }
  }

  /** What whoever begins to read now sees at least. */
  view(): View {
    return {
      least: this.#ordered.length,
      apart: new Set(this.#apart.filter(({ outcome }) => outcome === 'done')),
    }
  }

  /** What `found` must be that begins to read the key now, told when it has come. */
  reader(key: ModelKey): (fits: (stored: Stored | undefined) => boolean) => boolean {
    const states = this.#statesOf(key)
    const isSettled = ({ by }: (typeof states)[number]): boolean =>
      by === undefined || !by.apart || by.outcome === 'done'
    const from = states.findLastIndex(isSettled)
    return (fits) => states.slice(from).some(({ stored }) => fits(stored))
  }

  /** Whether the key has, or had, a state that fits. */
  everHad(key: ModelKey, fits: (stored: Stored | undefined) => boolean): boolean {
    return this.#statesOf(key).some(({ stored }) => fits(stored))
  }

  /** What a view of `view` or later has found, of the keys `within`, must be what some of the writes make. */
  judge(
    view: View,
    found: ReadonlyMap<ModelKey, Uint8Array>,
    within: (key: ModelKey) => boolean = () => true,
  ): void {
    const content = new Map(this.#base)
    const wrong = new Set<ModelKey>()
    const look = (key: ModelKey): void => {
      if (!within(key) || this.#owner.get(key)?.apart) return
      if (isSame(found.get(key), content.get(key))) wrong.delete(key)
      else wrong.add(key)
    }
    for (const key of [...content.keys(), ...found.keys()]) look(key)
    let nearest: ModelKey[] | undefined
    for (let number = 0; ; number++) {
      if (number >= view.least && wrong.size < (nearest?.length ?? Number.POSITIVE_INFINITY)) {
        nearest = [...wrong]
      }
      if (number === this.#ordered.length) break
      const { changes, outcome } = this.#ordered[number]!
      if (outcome === 'refused') continue
      for (const [key, stored] of changes) change(content, key, stored)
      for (const key of changes.keys()) look(key)
    }
    assert.ok(nearest !== undefined, 'a view of writes that were begun')
    if (nearest.length > 0) {
      const shown = nearest.slice(0, 5).map((key) => `${key.name}: ${shownValue(found.get(key))}`)
      assert.fail(
        `no first ${view.least} … ${this.#ordered.length} writes make what is there; nearest, but for ${nearest.length} keys:\n  ${shown.join('\n  ')}`,
      )
    }
    for (const begun of this.#apart) this.#judgeApart(begun, view, found, within)
  }

  #judgeApart(
    begun: Begun,
    view: View,
    found: ReadonlyMap<ModelKey, Uint8Array>,
    within: (key: ModelKey) => boolean,
  ): void {
    const keys = [...begun.changes.keys()].filter(within)
    const isThere = keys.every((key) => isSame(found.get(key), begun.changes.get(key)))
    const isMissing = keys.every((key) => isSame(found.get(key), this.#base.get(key)))
    if (view.apart.has(begun))
      assert.ok(isThere, `${keys[0]?.name}: what was written apart is not there`)
    else if (begun.outcome === 'refused') assert.ok(isMissing, `${keys[0]?.name} was refused`)
    else assert.ok(isThere || isMissing, `${keys[0]?.name}: half of a write is there`)
  }

  #statesOf(key: ModelKey): { readonly stored: Stored | undefined; readonly by?: Begun }[] {
    let states = this.#states.get(key)
    if (states === undefined) {
      states = [{ stored: this.#base.get(key) }]
      this.#states.set(key, states)
    }
    return states
  }
}

export function isSame(found: Uint8Array | undefined, stored: Stored | undefined): boolean {
  if (found === undefined || stored === undefined) return found === stored
  return sameBytes(found, stored.value)
}

function change(model: Model, key: ModelKey, stored: Stored | undefined): void {
  if (stored === undefined) model.delete(key)
  else model.set(key, stored)
}
