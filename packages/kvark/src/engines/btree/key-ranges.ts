/** Keys between two others, as one set: ranges that touch become one. */

interface Range {
  readonly low: Buffer
  /** The first key behind it; `undefined`: it has no end. */
  readonly high: Buffer | undefined
}

export class KeyRanges {
  /** In order, none touching another. */
  readonly #ranges: Range[] = []

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  has(key: Buffer): boolean {
    const { high } = this.#ranges[this.#behind(key) - 1] ?? { high: key }
    return high === undefined || key.compare(high) < 0
  }

  /** Whether some key from `low` up to `high`, that one included, is in it. */
  touches(low: Buffer, high: Buffer): boolean {
    return this.has(low) || this.#behind(high) > this.#behind(low)
  }

  add(low: Buffer, high: Buffer | undefined): void {
    let first = this.#behind(low)
    const before = this.#ranges[first - 1]
    if (before && (before.high === undefined || before.high.compare(low) >= 0)) first--
    const end = high === undefined ? this.#ranges.length : this.#behind(high)
    const joined = this.#ranges.slice(first, end)
    const from = joined[0] && joined[0].low.compare(low) < 0 ? joined[0].low : low
    const last = joined.at(-1)
    const to = last && isHigher(last.high, high) ? last.high : high
    this.#ranges.splice(first, joined.length, { low: from, high: to })
  }

  /** How many ranges begin at `key` or before it. */
  #behind(key: Buffer): number {
    let from = 0
    let to = this.#ranges.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.#ranges[middle]!.low.compare(key) <= 0) from = middle + 1
      else to = middle
    }
    return from
  }
}

function isHigher(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one === undefined || (other !== undefined && one.compare(other) > 0)
}

/** The first key behind `key`. */
export function keyBehind(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.alloc(1)])
}
