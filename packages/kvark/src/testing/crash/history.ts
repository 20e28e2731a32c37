/**
 * What was written to a store, in order, and the oracle of every crash test: after a crash the store must hold what some
 * prefix of that order makes.
 *
 *   base content │ write 1 │ write 2 │ … │ acknowledged │ … │ started │
 *                                         └── the prefix must end ───┘
 *                                             from here … to here
 *
 * 1. Writes are added before the store hears of them, and acknowledged after it has promised them: the bounds hold at any
 *    moment between.
 * 2. A write is its changes together: half a batch matches no prefix.
 * 3. A write that the store refused leaves no trace: `refuse` empties it.
 */

import assert from 'node:assert/strict'

export type Change =
  | { readonly kind: 'put'; readonly key: string; readonly value: string }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'clear' }

export type Content = ReadonlyMap<string, string>

export class History {
  readonly #base: Content
  readonly #writes: (readonly Change[])[]
  /** Everything up to this write must be kept. */
  acknowledged: number

  constructor(base: Content = new Map(), writes: (readonly Change[])[] = [], acknowledged = 0) {
    this.#base = base
    this.#writes = writes
    this.acknowledged = acknowledged
  }

  /** The last write that may be there. */
  get started(): number {
    return this.#writes.length
  }

  /** Adds a write; returns its number, from 1. */
  add(changes: readonly Change[]): number {
    this.#writes.push(changes)
    return this.#writes.length
  }

  acknowledge(number: number): void {
    this.acknowledged = Math.max(this.acknowledged, number)
  }

  refuse(number: number): void {
    this.#writes[number - 1] = []
  }

  /** This history as it stands now; what is added to one of the two does not show in the other. */
  copy(): History {
    return new History(this.#base, [...this.#writes], this.acknowledged)
  }

  /** What the first `number` writes make. */
  contentAt(number: number): Map<string, string> {
    const content = new Map(this.#base)
    for (const changes of this.#writes.slice(0, number)) {
      for (const change of changes) apply(content, change)
    }
    return content
  }

  /** The history that goes on from what a recovery found; throws where no prefix from write `least` on makes that. */
  recovered(found: Content, least: number = this.acknowledged): History {
    const number = this.#find(found, least)
    if (number === undefined) assert.fail(this.#complaint(found, least))
    return new History(this.#base, this.#writes.slice(0, number), this.acknowledged)
  }

  /** The last allowed prefix that makes `found`. Each write costs only its own changes. */
  #find(found: Content, least: number): number | undefined {
    let last: number | undefined
    const content = new Map(this.#base)
    const wrong = new Set<string>()
    const judge = (key: string): void => {
      if (content.get(key) === found.get(key)) wrong.delete(key)
      else wrong.add(key)
    }
    for (const key of [...content.keys(), ...found.keys()]) judge(key)
    for (let number = 0; ; number++) {
      if (number >= least && wrong.size === 0) last = number
      if (number === this.started) return last
      for (const change of this.#writes[number]!) {
        const keys = change.kind === 'clear' ? [...content.keys()] : [change.key]
        apply(content, change)
        for (const key of keys) judge(key)
      }
    }
  }

  /** Tells how far the content is from each allowed prefix that comes close. */
  #complaint(found: Content, least: number): string {
    let best = { number: -1, wrong: Number.POSITIVE_INFINITY, lines: [] as string[] }
    for (let number = least; number <= this.started; number++) {
      const lines = differences(this.contentAt(number), found)
      if (lines.length < best.wrong) best = { number, wrong: lines.length, lines }
    }
    const older = this.#olderPrefix(found, least)
    return [
      `The store must hold what the writes up to one of ${least} … ${this.started} make.`,
      older === undefined
        ? 'It holds what no prefix makes.'
        : `It holds what the writes up to ${older} make: acknowledged writes are lost.`,
      `Nearest are the writes up to ${best.number}; ${best.wrong} keys differ:`,
      ...best.lines.slice(0, 10),
    ].join('\n')
  }

  #olderPrefix(found: Content, least: number): number | undefined {
    for (let number = least - 1; number >= 0; number--) {
      if (differences(this.contentAt(number), found).length === 0) return number
    }
    return undefined
  }
}

function apply(content: Map<string, string>, change: Change): void {
  if (change.kind === 'put') content.set(change.key, change.value)
  else if (change.kind === 'delete') content.delete(change.key)
  else content.clear()
}

/** Throws, with a short list, where the two differ. */
export function mustHold(found: Content, expected: Content, what: string): void {
  const lines = differences(expected, found)
  if (lines.length > 0) assert.fail(`${what}\n${lines.slice(0, 10).join('\n')}`)
}

function differences(expected: Content, found: Content): string[] {
  const lines: string[] = []
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    const wanted = expected.get(key)
    const got = found.get(key)
    if (wanted !== got) lines.push(`  ${key}: ${shown(got)}, not ${shown(wanted)}`)
  }
  return lines
}

function shown(value: string | undefined): string {
  if (value === undefined) return 'absent'
  return value.length > 24 ? `'${value.slice(0, 24)}…' (${value.length})` : `'${value}'`
}
