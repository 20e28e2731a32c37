/** The log engine, and whatever else, with a fault: what the rows must find. */

import type { Engine, EngineContext, EngineModule } from '../../engine/engine.ts'
import { log } from '../../engines/log/module.ts'
import type { Routine } from '../../environment/routine.ts'

/** Engines of which the log does some things otherwise, as `plant` says for each one that is opened. */
export function faultyLog(
  plant: (engine: Engine, context: EngineContext) => Partial<Engine>,
): Readonly<Record<string, EngineModule>> {
  return {
    log: {
      ...log,
      *open(context): Routine<Engine> {
        const engine = yield* log.open(context)
        return planted(engine, plant(engine, context))
      },
    },
  }
}

/** `target`, but for what `other` has. */
export function planted<T extends object>(target: T, other: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const own = Object.hasOwn(other, name) ? other : target
      const value: unknown = Reflect.get(own, name, own)
      return typeof value === 'function' ? value.bind(own) : value
    },
  })
}
