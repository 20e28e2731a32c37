/**
 * What `watch` has told of a table: what it held behind each version, by which everything else that was read is judged.
 *
 *   told   │ put a 7 │ put b 8 │ clear 11 │ put a 12 │ …       at 8: a, b    at 11: nothing    at 12: a
 *
 * 1. An entry that expires is there up to its time: a reader whose clock stood somewhere between two times may have seen it, or not.
 */

import assert from 'node:assert/strict'
import type { Change, Gap } from '../../store/change-types.ts'

export type ToldChange = Exclude<Change<string, string>, Gap>

export interface Held {
  readonly value: string
  /** Ms; `undefined`: never. */
  readonly expiresAt: number | undefined
}

/** From when to when somebody's clock may have stood, ms. */
export interface Moments {
  from: number
  to: number
}

export class Told {
  readonly changes: ToldChange[] = []
  /** It is not told any more: its handle stands for a table that another one stands for already. */
  isRetired = false
  /** By value, which no two writes share: the versions under which it was told. */
  readonly versionsOf: Map<string, number[]> = new Map()

  add(change: ToldChange): void {
    const before = this.changes.at(-1)
    assert.ok(before === undefined || before.version <= change.version, 'told in order')
    this.changes.push(change)
    if (change.type !== 'put') return
    const versions = this.versionsOf.get(change.value)
    if (versions === undefined) this.versionsOf.set(change.value, [change.version])
    else versions.push(change.version)
  }

  /** What the table held behind all writes up to this version. */
  at(version: number): Map<string, Held> {
    const content = new Map<string, Held>()
    for (const change of this.changes) {
      if (change.version > version) break
      apply(content, change)
    }
    return content
  }

  /** The versions from `from` to `to` at which the table may have become another one, with the first. */
  *versions(from: number, to: number): Iterable<number> {
    yield from
    for (const { version } of this.changes) if (version > from && version <= to) yield version
  }
}

function apply(content: Map<string, Held>, change: ToldChange): void {
  if (change.type === 'put') {
    content.set(change.key, { value: change.value, expiresAt: change.expiresAt })
  } else if (change.type === 'delete') content.delete(change.key)
  else if (change.type === 'drop') content.clear()
  else if (change.type === 'clear') {
    for (const key of content.keys()) if (change.covers(key)) content.delete(key)
  }
}

export function fits(
  found: string | undefined,
  held: Held | undefined,
  { from, to }: Moments,
): boolean {
  if (found === undefined) return held === undefined || mayBeOver(held, to)
  return held?.value === found && (held.expiresAt === undefined || held.expiresAt > from)
}

export function mayBeOver({ expiresAt }: Held, to: number): boolean {
  return expiresAt !== undefined && expiresAt <= to
}
