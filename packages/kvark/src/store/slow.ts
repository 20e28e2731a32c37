/**
 * Tells of calls that take long: where the store has the option `slowMs`, each handle has verbs of its own that stand before those of its
 * class and look at the clock. Where it has not, nothing is different.
 *
 * Left out: cursors, streams and `load`, whose time is the caller's or the source's as much as the store's; jobs, which have channels of
 * their own (see `engine/diagnostics.ts`).
 */

import { hearsSlow, publishSlow } from '../engine/diagnostics.ts'
import type { Life } from './life.ts'

/** Promised verbs, which have a twin with `Sync`. Those that are only another name for one of them call it. */
const VERBS: readonly string[] =
  'get getMany getEntry has count first last put touch delete batch clear update increment getOrPut transaction sync dropTable renameTable'.split(
    ' ',
  )

/** Has the verbs of a table, or of a store, told of when they take at least `slowMs`. */
export function tellSlow(handle: object, life: Life, table: string | undefined): void {
  if (life.slowMs === undefined) return
  for (const name of VERBS.flatMap((verb) => [verb, `${verb}Sync`])) {
    const verb: unknown = Reflect.get(handle, name)
    if (typeof verb !== 'function') continue
    const value = timed(verb.bind(handle), life, { operation: name, table })
    Object.defineProperty(handle, name, { value, configurable: true, writable: true })
  }
}

function timed(
  verb: (...args: readonly unknown[]) => unknown,
  life: Life,
  what: { readonly operation: string; readonly table: string | undefined },
): (...args: readonly unknown[]) => unknown {
  const { environment, path, engine, slowMs = 0 } = life
  return (...args) => {
    if (!hearsSlow()) return verb(...args)
    const begun = environment.monotonic()
    const tell = (error: unknown): void => {
      const durationMs = environment.monotonic() - begun
      if (durationMs >= slowMs)
        publishSlow({ engine: engine.name, path, ...what, durationMs, error })
    }
    let result: unknown
    try {
      result = verb(...args)
    } catch (error) {
      tell(error)
      throw error
    }
    if (!(result instanceof Promise)) {
      tell(undefined)
      return result
    }
    return result.then(
      (value: unknown) => {
        tell(undefined)
        return value
      },
      (error: unknown) => {
        tell(error)
        throw error
      },
    )
  }
}
