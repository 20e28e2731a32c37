/**
 * Judges a history of lists as Elle does (Kingsbury and Alvaro, 2020): what was read says in which order values came, and from that
 * follows which transaction must have come before which. Is there a circle, then there is no order in which they could have happened
 * one after the other.
 *
 *   ww   T1 ─► T2   T2 appended the value behind T1's
 *   wr   T1 ─► T2   T2 read a list that ends with T1's value
 *   rw   T1 ─► T2   T1 read a list, and T2 appended the next value
 *   session         T2 came after T1 at the same client
 *
 * Before that: nothing is read that was never committed or was overwritten by its own transaction, lists only grow, and a transaction
 * sees its own appends.
 *
 * The last run of a history has to read every list, so that the order of all values is known.
 */

import type { History, Run } from './history.ts'

type EdgeKind = 'ww' | 'wr' | 'rw' | 'session'

interface Edge {
  readonly to: number
  readonly kind: EdgeKind
  readonly key: string
}

/** What is wrong with a history, a sentence each; empty: it is serializable. */
export function checkLists(history: History): string[] {
  const writers = writersOf(history)
  const problems = history.flatMap((run, i) => [
    ...ownAppends(run, i),
    ...(run.committed ? dirtyReads(history, writers, run, i) : []),
  ])
  if (problems.length > 0) return problems
  const orders = new Map<string, readonly number[]>()
  problems.push(...order(history, orders))
  if (problems.length > 0) return problems
  problems.push(...lostAppends(history, orders))
  const circle = findCircle(edgesOf(history, writers, orders))
  return circle === undefined ? problems : [...problems, tell(circle)]
}

/** The run that appended each value. */
function writersOf(history: History): Map<number, number> {
  const writers = new Map<number, number>()
  for (const [i, { steps }] of history.entries()) {
    for (const step of steps) if ('append' in step) writers.set(step.value, i)
  }
  return writers
}

/** A transaction that has read or written a list goes on from there. */
function ownAppends({ steps }: Run, i: number): string[] {
  const known = new Map<string, readonly number[]>()
  const appended = new Map<string, number[]>()
  const problems: string[] = []
  for (const step of steps) {
    if ('append' in step) {
      const list = known.get(step.append)
      if (list !== undefined) known.set(step.append, [...list, step.value])
      appended.set(step.append, [...(appended.get(step.append) ?? []), step.value])
      continue
    }
    const expected = known.get(step.read)
    const own = appended.get(step.read) ?? []
    const ending = step.list.slice(step.list.length - own.length)
    if (expected === undefined ? !same(ending, own) : !same(step.list, expected)) {
      problems.push(
        `run ${i} read ${told(step.list)} of ${step.read} and not what it had seen and appended`,
      )
    }
    known.set(step.read, step.list)
  }
  return problems
}

/** Values of runs that were not committed, or that their own run had not appended last. */
function dirtyReads(
  history: History,
  writers: ReadonlyMap<number, number>,
  run: Run,
  i: number,
): string[] {
  const problems: string[] = []
  for (const step of run.steps) {
    if (!('read' in step)) continue
    for (const value of step.list) {
      const writer = writers.get(value)
      if (writer === undefined) problems.push(`run ${i} read ${value}, which nobody appended`)
      else if (writer !== i && !history[writer]!.committed) {
        problems.push(
          `aborted read: run ${i} read ${value} of run ${writer}, which was not committed`,
        )
      }
    }
    const last = step.list.at(-1)
    const writer = last === undefined ? undefined : writers.get(last)
    if (writer === undefined || writer === i) continue
    const own = history[writer]!.steps.filter(
      (one) => 'append' in one && one.append === step.read,
    ) as { readonly value: number }[]
    if (own.at(-1)?.value !== last) {
      problems.push(
        `intermediate read: run ${i} read ${last} of run ${writer}, which appended more`,
      )
    }
  }
  return problems
}

/** The order of values of each list: all that was read of it is a beginning of the longest. */
function order(history: History, orders: Map<string, readonly number[]>): string[] {
  const problems: string[] = []
  for (const [i, { committed, steps }] of history.entries()) {
    if (!committed) continue
    for (const step of withoutOwn(steps)) {
      const longest = orders.get(step.read) ?? []
      const [short, long] =
        step.list.length < longest.length ? [step.list, longest] : [longest, step.list]
      if (!same(long.slice(0, short.length), short)) {
        problems.push(
          `incompatible orders: run ${i} read ${told(step.list)} of ${step.read}, others ${told(longest)}`,
        )
      }
      if (new Set(step.list).size < step.list.length) {
        problems.push(`run ${i} read a value twice: ${told(step.list)} of ${step.read}`)
      }
      orders.set(step.read, long)
    }
  }
  return problems
}

/** What was committed is in its list at the end. */
function lostAppends(history: History, orders: ReadonlyMap<string, readonly number[]>): string[] {
  return history.flatMap(({ committed, steps }, i) =>
    steps.flatMap((step) =>
      committed && 'append' in step && !orders.get(step.append)?.includes(step.value)
        ? [`lost: run ${i} appended ${step.value} to ${step.append}, and nobody has read it`]
        : [],
    ),
  )
}

/** What was read before the transaction's own appends to the list. */
function withoutOwn(
  steps: Run['steps'],
): { readonly read: string; readonly list: readonly number[] }[] {
  const appended = new Set<string>()
  const reads: { readonly read: string; readonly list: readonly number[] }[] = []
  for (const step of steps) {
    if ('append' in step) appended.add(step.append)
    else if (!appended.has(step.read)) reads.push(step)
  }
  return reads
}

function edgesOf(
  history: History,
  writers: ReadonlyMap<number, number>,
  orders: ReadonlyMap<string, readonly number[]>,
): Edge[][] {
  const edges: Edge[][] = history.map(() => [])
  const add = (
    from: number | undefined,
    to: number | undefined,
    kind: EdgeKind,
    key: string,
  ): void => {
    if (from !== undefined && to !== undefined && from !== to) edges[from]!.push({ to, kind, key })
  }
  for (const [key, values] of orders) {
    for (let n = 1; n < values.length; n++) {
      add(writers.get(values[n - 1]!), writers.get(values[n]!), 'ww', key)
    }
  }
  const last = new Map<number, number>()
  for (const [i, { client, committed, steps }] of history.entries()) {
    if (!committed) continue
    add(last.get(client), i, 'session', '')
    last.set(client, i)
    for (const { read, list } of withoutOwn(steps)) {
      const values = orders.get(read)!
      if (list.length > 0) add(writers.get(list.at(-1)!), i, 'wr', read)
      if (list.length < values.length) add(i, writers.get(values[list.length]!), 'rw', read)
    }
  }
  return edges
}

/** A circle, as the edges of it with where they begin; depth first, without recursion. */
function findCircle(edges: readonly Edge[][]): { from: number; edge: Edge }[] | undefined {
  const state = new Uint8Array(edges.length)
  const next = new Uint32Array(edges.length)
  for (let root = 0; root < edges.length; root++) {
    if (state[root] !== 0) continue
    const path: { from: number; edge: Edge }[] = []
    let at = root
    state[root] = 1
    for (;;) {
      const edge = edges[at]![next[at]!++]
      if (edge === undefined) {
        state[at] = 2
        const step = path.pop()
        if (step === undefined) break
        at = step.from
        continue
      }
      if (state[edge.to] === 2) continue
      path.push({ from: at, edge })
      if (state[edge.to] === 1) return path.slice(path.findIndex(({ from }) => from === edge.to))
      state[edge.to] = 1
      at = edge.to
    }
  }
  return undefined
}

function tell(circle: readonly { from: number; edge: Edge }[]): string {
  const count = circle.filter(({ edge }) => edge.kind === 'rw').length
  const name = count === 0 ? 'G1c' : count === 1 ? 'G-single' : 'G2'
  const steps = circle.map(({ from, edge }) => `${from} ─${edge.kind} ${edge.key}─► ${edge.to}`)
  return `${name}: ${steps.join(', ')}`
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

function told(list: readonly number[]): string {
  return `[${list.join(',')}]`
}
