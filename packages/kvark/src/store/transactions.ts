/**
 * The transactions that run in a store, and what is kept for them.
 *
 *   begin ─► reads, pending writes ─► end of reads ─► holds? ─┬─ yes ─► one batch ─► end
 *              ▲                                              └─ no: overtaken ─► end, and from the start
 *   other writes ─┬─ before one: who has read the newest state so far gets a view of it
 *                 └─ after it: into the history, by which `holds` is judged
 *
 * Optimistic, with backward validation: a transaction holds nobody up. It is serializable at the moment of its batch: nothing that it
 * has read has changed by then. One without writes is so at the moment of its view, and is not judged.
 *
 * 1. As long as no transaction runs, a write pays for this with one comparison.
 * 2. A running transaction without a view has seen no write since it began: so the newest state is its view, for free.
 * 3. Everything since the oldest running transaction began is in the history, or the transaction is told that it is not.
 */

import type { WriteBatch } from '../engine/write-batch.ts'
import type { Life } from './life.ts'
import { PendingWrites } from './pending-writes.ts'
import { ReadSet } from './read-set.ts'
import { View } from './view.ts'
import { WriteHistory } from './write-history.ts'
import type { WriteListener } from './write-queue.ts'

/** So many are kept for later transactions. */
const MOST_SPARES = 64

/** What is known of a transaction here. */
export interface Running {
  /** The end of the history when it began. */
  readonly begun: number
  /** It reads the newest state. */
  readonly isBare: boolean
  /** From now on it reads this view. */
  fix(view: View): void
  /** What it has read is lost: it can only end. */
  lose(): void
}

/** The memory of one transaction, used again by later ones. */
export interface Workspace {
  readonly pending: PendingWrites
  readonly reads: ReadSet
}

export class Transactions implements WriteListener {
  readonly history: WriteHistory = new WriteHistory()
  /** A synchronous one runs. */
  atOnce = false
  readonly #life: Life
  /** Oldest first. */
  readonly #running = new Set<Running>()
  readonly #spares: Workspace[] = []

  constructor(life: Life) {
    this.#life = life
  }

  begin(one: Running): void {
    this.#running.add(one)
    this.#life.queue.listener = this
  }

  /** Harmless when repeated. */
  end(one: Running): void {
    if (!this.#running.delete(one)) return
    for (const oldest of this.#running) {
      this.history.trim(oldest.begun)
      return
    }
    this.history.trim(this.history.end)
    this.#life.queue.listener = undefined
  }

  /** The engine's state is another one from now on, and nobody knows what has changed. */
  reset(): void {
    for (const one of this.#running) one.lose()
  }

  beforeWrite(): void {
    let view: View | undefined
    for (const one of this.#running) {
      if (!one.isBare) continue
      view ??= new View(this.#life.engine.snapshot!())
      one.fix(view.hold())
    }
    view?.release()
  }

  written(batch: WriteBatch): void {
    this.history.add(batch)
  }

  takeWorkspace(): Workspace {
    return this.#spares.pop() ?? { pending: new PendingWrites(), reads: new ReadSet() }
  }

  giveWorkspace(workspace: Workspace): void {
    if (this.#spares.length === MOST_SPARES) return
    workspace.pending.clear()
    workspace.reads.clear()
    this.#spares.push(workspace)
  }
}
