/**
 * One algorithm, two drivers. Everything in kvark that may touch the disk exists once, as a *routine*: a generator that
 * yields *effects*. An effect is one operation that can be done at once (`sync`) or awaited (`async`). `getSync`,
 * `openSync`, … drive a routine with the first, `get`, `open`, … with the second; the algorithm is the same.
 *
 *   function* copy(from, to): Routine<void> {          run: await effect(() => copy(a, b)).async()
 *     const bytes = yield* from.read(…)                or:        effect(() => copy(a, b)).sync()
 *     yield* to.write(…)
 *   }
 *
 * 1. A routine runs without interruption between two effects; only there can other code run (and under the sync driver
 *    nothing runs at all).
 * 2. An error of an effect is thrown inside the routine at its `yield*`, so `try` and `finally` work as usual.
 *
 * Hot reads do not use routines: they return a status instead (see `engine/`).
 */

/** An operation that can be carried out at once or awaited. Nothing happens before one of the two is called. */
export class Effect<T> {
  readonly sync: () => T
  readonly async: () => Promise<T>
  /** Lets go of what `async` has given, for who has awaited it and does not hand it on; absent: there is nothing to let go of. */
  readonly drop: (() => void) | undefined

  constructor(sync: () => T, async: () => Promise<T>, drop?: () => void) {
    this.sync = sync
    this.async = async
    this.drop = drop
  }

  /** `yield* effect` inside a routine gives its result. */
  *[Symbol.iterator](): Generator<Effect<unknown>, T, unknown> {
    return (yield this) as T
  }
}

/** A computation that may touch the disk: yields effects, returns `T`. */
export type Routine<T> = Generator<Effect<unknown>, T, unknown>

/** Carries a routine out at once. */
export function runSync<T>(routine: Routine<T>): T {
  let step = routine.next()
  while (!step.done) {
    let result: unknown
    try {
      result = step.value.sync()
    } catch (error) {
      step = routine.throw(error)
      continue
    }
    step = routine.next(result)
  }
  return step.value
}

/** Carries a routine out without blocking the event loop on an effect. */
export async function runAsync<T>(routine: Routine<T>): Promise<T> {
  let step = routine.next()
  while (!step.done) {
    let result: unknown
    try {
      result = await step.value.async()
    } catch (error) {
      step = routine.throw(error)
      continue
    }
    step = routine.next(result)
  }
  return step.value
}

/** A routine as one effect; `start` is called anew for each run. */
export function effect<T>(start: () => Routine<T>): Effect<T> {
  return new Effect(
    () => runSync(start()),
    () => runAsync(start()),
  )
}

/** The effect of something that never waits. */
export function immediate<T>(act: () => T): Effect<T> {
  return new Effect(act, async () => act())
}
