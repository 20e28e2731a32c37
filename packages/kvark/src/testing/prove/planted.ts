/** The log engine with a fault: what the rows must find. */

import type { Engine, EngineModule } from '../../engine/engine.ts'
import { log } from '../../engines/log/module.ts'
import type { Routine } from '../../environment/routine.ts'

/** Engines of which the log does some things otherwise, as `plant` says for each one that is opened. */
export function faultyLog(
  plant: (engine: Engine) => Partial<Engine>,
): Readonly<Record<string, EngineModule>> {
  return {
    log: {
      ...log,
      *open(context): Routine<Engine> {
        const engine = yield* log.open(context)
        const planted = plant(engine)
        return new Proxy(engine, {
          get(target, name) {
            const own = Object.hasOwn(planted, name) ? planted : target
            const value: unknown = Reflect.get(own, name, own)
            return typeof value === 'function' ? value.bind(own) : value
          },
        })
      },
    },
  }
}
