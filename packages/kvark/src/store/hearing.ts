/**
 * Long work of which the caller hears: what his callback throws ends the work, and comes through as it is, whatever an engine makes of an
 * error in the middle of its work.
 */

import type { Progress } from '../engine/engine.ts'
import type { Routine } from '../environment/routine.ts'

/** Carries out `work`, which is given what to tell. */
export function* hearing<T>(
  progress: Progress | undefined,
  work: (progress: Progress | undefined) => Routine<T>,
): Routine<T> {
  if (progress === undefined) return yield* work(undefined)
  let thrown: { readonly reason: unknown } | undefined
  const tell: Progress = (done, total) => {
    try {
      progress(done, total)
    } catch (reason) {
      thrown ??= { reason }
      throw reason
    }
  }
  try {
    return yield* work(tell)
  } catch (error) {
    throw thrown === undefined ? error : thrown.reason
  }
}
