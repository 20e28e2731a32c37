/**
 * A snapshot of the engine that several holders share: the public `Snapshot`, its cursors, its reads that wait for the
 * disk. It ends when the last one lets go.
 */

import type { EngineSnapshot } from '../engine/engine.ts'

export class View {
  readonly at: EngineSnapshot
  #holders = 1

  constructor(at: EngineSnapshot) {
    this.at = at
  }

  hold(): this {
    this.#holders++
    return this
  }

  release(): void {
    if (--this.#holders === 0) this.at.release()
  }
}
