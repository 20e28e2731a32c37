/**
 * The worker threads of this process, shared by all its stores.
 *
 * 1. Nothing starts before the first job; at most two threads, and one where there are two processors.
 * 2. A thread keeps the process alive while it has jobs, for a caller may await one (`compact`, `close`) when nothing else
 *    is going on; an idle one does not.
 * 3. A job goes to the thread with the fewest; several in one thread take turns at their effects.
 * 4. A thread that dies fails its jobs with `IO`; the next job starts another.
 * 5. Where a bundler has put this file into one of its own, there are no threads: a `worker.js` beside that one would be somebody else's.
 */

import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { asKvarkError, KvarkError } from '../errors.ts'
import type { Job } from './environment.ts'
import { buffersOf, fromPlainError, type JobMessage, type ResultMessage } from './messages.ts'

/** Jobs make little garbage; without a limit a thread takes 32 MiB more for it. */
const YOUNG_GENERATION_MIB = 1

/** Whether this file is where it was compiled to, so that the worker's is where it looks for it. */
export const hasWorkers: boolean = isInPlace(import.meta.url)

/** `url`: of this file; some bundlers leave nothing of it. */
export function isInPlace(url: string | undefined): boolean {
  return url !== undefined && new URL(url).pathname.endsWith('/environment/pool.js')
}

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: KvarkError) => void
}

class PoolThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  /** `died` is called once, before the jobs fail. */
  constructor(died: (thread: PoolThread) => void) {
    // Flags of this process, such as --input-type, may not fit a worker's file.
    const entry = new URL('../worker.js', import.meta.url)
    this.#worker = new Worker(entry, {
      execArgv: [],
      name: 'kvark',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    })
    let cause: unknown
    this.#worker.on('error', (error) => {
      cause = error
    })
    this.#worker.on('exit', (status) => {
      died(this)
      for (const { reject } of this.#waiting.values()) {
        const why = cause instanceof Error ? cause.message : `it ended with ${status}`
        const message = `A worker thread of kvark died: ${why}. Its job was not finished; the next one gets a new thread.`
        reject(new KvarkError('IO', message, { cause, retryable: true }))
      }
      this.#waiting.clear()
    })
    this.#worker.on('message', (message: ResultMessage) => {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      if ('error' in message) waiting?.reject(fromPlainError(message.error))
      else waiting?.resolve(message.result)
      if (this.#waiting.size === 0) this.#worker.unref()
    })
    // Last, for listening makes it keep the process alive.
    this.#worker.unref()
  }

  get jobs(): number {
    return this.#waiting.size
  }

  execute(job: Job): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const message: JobMessage = { id: ++this.#lastId, job }
      try {
        this.#worker.postMessage(message, [...buffersOf(job.args)])
      } catch (error) {
        throw asKvarkError(error)
      }
      this.#waiting.set(message.id, { resolve, reject })
      this.#worker.ref()
    })
  }
}

const threads = new Set<PoolThread>()

/** `Environment.execute` on the threads of this process. */
export function executeInPool(job: Job): Promise<unknown> {
  let chosen: PoolThread | undefined
  for (const thread of threads) {
    if (chosen === undefined || thread.jobs < chosen.jobs) chosen = thread
  }
  const most = Math.max(1, Math.min(2, availableParallelism() - 1))
  if (chosen === undefined || (chosen.jobs > 0 && threads.size < most)) {
    chosen = new PoolThread((thread) => threads.delete(thread))
    threads.add(chosen)
  }
  return chosen.execute(job)
}
