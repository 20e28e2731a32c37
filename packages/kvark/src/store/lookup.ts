/**
 * Lookups that may have to read the disk, as routines: for one key, and for many with the disk kept busy.
 *
 * 1. What a lookup loads stays in memory until the value is decoded.
 * 2. The lookups of one `getMany` read the same view, where the engine has views.
 */

import {
  BLOCKED,
  type Engine,
  type EngineSnapshot,
  FOUND,
  MISSING,
  SPREAD,
  type Status,
} from '../engine/engine.ts'
import { type Block, Found } from '../engine/found.ts'
import { Effect, type Routine, runSync } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import type { Core } from './core.ts'
import { gather, type Projection, toValue, wantsValue } from './project.ts'
import type { View } from './view.ts'
import { viewOfNow } from './walk.ts'

/** So many lookups of one call wait for the disk at the same time. */
const CONCURRENT_LOOKUPS = 32

export function* lookup<K, V, R>(
  core: Core<K, V>,
  key: Buffer,
  view: View | undefined,
  project: Projection<K, V, R>,
): Routine<R | undefined> {
  view?.hold()
  try {
    if (core.life.unsettled) yield* core.queue.passed
    return yield* locate(core, key, view?.at, projecting(core, project))
  } finally {
    view?.release()
  }
}

/** A key of a `getMany`, and the place of its value in the answer. */
export interface Asked {
  readonly place: number
  readonly key: Buffer
}

/** Puts the values of the keys asked for in their places. */
export function* lookupMany<K, V>(
  core: Core<K, V>,
  asked: readonly Asked[],
  values: (V | undefined)[],
  view: View | undefined,
): Routine<(V | undefined)[]> {
  view?.hold()
  try {
    if (core.life.unsettled) yield* core.queue.passed
    view ??= viewOfNow(core)
    yield* locateMany(core, asked, values, view?.at)
    return values
  } finally {
    view?.release()
  }
}

/** Looks the key up and hands what was found, `FOUND` or `SPREAD`, to `take`, before what was loaded for it is released. */
export function* locate<R>(
  core: { readonly engine: Engine },
  key: Buffer,
  at: EngineSnapshot | undefined,
  take: (found: Found, status: Status) => Routine<R>,
): Routine<R | undefined> {
  const blocks: Block[] = []
  const found = new Found()
  try {
    for (;;) {
      const status = core.engine.find(key, key.length, at, found)
      if (status === MISSING) return undefined
      if (status !== BLOCKED) return yield* take(found, status)
      const block = found.block!
      if (block.alone) for (const one of blocks.splice(0)) one.release()
      blocks.push(block)
      yield* block.load
    }
  } finally {
    for (const block of blocks) block.release()
  }
}

/**
 * To the caller's result, with the value's bytes at hand unless only its presence matters. No generator of its own for each call: V8 makes
 * a prototype and a hidden class for each of those, which live until the next full collection.
 */
function projecting<K, V, R>(
  core: Core<K, V>,
  project: Projection<K, V, R>,
): (found: Found, status: Status) => Routine<R> {
  return (found, status) => projected(core, project, found, status)
}

function* projected<K, V, R>(
  core: Core<K, V>,
  project: Projection<K, V, R>,
  found: Found,
  status: Status,
): Routine<R> {
  if (status === SPREAD && wantsValue(project)) yield* gather(core, found)
  return project(core, found)
}

function* locateMany<K, V>(
  core: Core<K, V>,
  asked: readonly Asked[],
  values: (V | undefined)[],
  at: EngineSnapshot | undefined,
): Routine<void> {
  const cold: Asked[] = []
  const slice = new Slice(core.environment)
  for (const one of asked) {
    if (slice.over()) yield* core.environment.pause
    const { key } = one
    const status = core.engine.find(key, key.length, at, core.found)
    if (status === FOUND) values[one.place] = toValue(core, core.found)
    else if (status !== MISSING) cold.push(one)
  }

  const load = ({ key }: Asked): Routine<V | undefined> =>
    locate(core, key, at, projecting<K, V, V>(core, toValue))
  let next = 0
  const loadInTurn = async (): Promise<void> => {
    while (next < cold.length) {
      const one = cold[next++]!
      values[one.place] = await core.life.run(() => load(one))
    }
  }
  yield* new Effect(
    () => {
      for (const one of cold) values[one.place] = runSync(load(one))
    },
    async () => {
      const lines = Math.min(CONCURRENT_LOOKUPS, cold.length)
      // All are waited for, also after a failure: they read the view that ends with this call.
      const ends = await Promise.allSettled(Array.from({ length: lines }, loadInTurn))
      for (const end of ends) if (end.status === 'rejected') throw end.reason
    },
  )
}
