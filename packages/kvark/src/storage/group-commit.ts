/**
 * Callers who wait for the same durability share one flush, or one sync.
 *
 *   callers ─► gathering round ─► (the running code returns) ─► flush, sync ─► all of the round resolve
 *              the next round gathers while a sync is under way
 *
 * 1. A round is resolved only by a flush or sync that began after its last caller had joined.
 * 2. At most one sync is under way.
 */

import type { Environment } from '../environment/environment.ts'
import { type Routine, runAsync } from '../environment/routine.ts'

interface Round {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class GroupCommit {
  readonly #environment: Environment
  readonly #flush: () => void
  readonly #sync: () => Routine<void>
  #flushRound: Round | undefined
  #syncRound: Round | undefined
  #syncing: Promise<void> | undefined

  /** `flush` hands everything to the operating system, `sync` does that and makes it durable. */
  constructor(environment: Environment, flush: () => void, sync: () => Routine<void>) {
    this.#environment = environment
    this.#flush = flush
    this.#sync = sync
  }

  /** Resolves when everything written so far is with the operating system. */
  flushed(): Promise<void> {
    let round = this.#flushRound
    if (!round) {
      const begun = newRound()
      round = begun
      this.#flushRound = begun
      this.#environment.defer(() => {
        if (this.#flushRound === begun) this.#flushRound = undefined
        try {
          this.#flush()
          begun.resolve()
        } catch (error) {
          begun.reject(error)
        }
      })
    }
    return round.promise
  }

  /** Resolves when everything written so far is on disk. */
  synced(): Promise<void> {
    if (!this.#syncRound) {
      this.#syncRound = newRound()
      if (!this.#syncing) this.#environment.defer(() => this.#begin())
    }
    return this.#syncRound.promise
  }

  /** Writing has failed: those who wait hear of it, except for a sync under way, which ends by itself. */
  fail(error: unknown): void {
    this.#flushRound?.reject(error)
    this.#flushRound = undefined
    this.#syncRound?.reject(error)
    this.#syncRound = undefined
  }

  /** Resolves when no round gathers and no sync is under way. */
  async idle(): Promise<void> {
    for (;;) {
      const busy = this.#syncing ?? this.#syncRound?.promise ?? this.#flushRound?.promise
      if (busy === undefined) return
      await busy.catch(() => {})
    }
  }

  #begin(): void {
    const round = this.#syncRound
    if (!round || this.#syncing) return
    this.#syncRound = undefined
    this.#syncing = runAsync(this.#sync())
    const ended = (): void => {
      this.#syncing = undefined
      if (this.#syncRound) this.#environment.defer(() => this.#begin())
    }
    this.#syncing.then(
      () => {
        ended()
        round.resolve()
      },
      (error: unknown) => {
        ended()
        round.reject(error)
      },
    )
  }
}

function newRound(): Round {
  let resolve: () => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(() => {}) // Each caller awaits it; a round that nobody awaits must not end the process.
  return { promise, resolve, reject }
}
