/**
 * Publishes what happens in a store on channels of `node:diagnostics_channel`; what is said there is in `events.ts`.
 *
 * 1. Where nobody listens, nothing is made: a job reads the clock twice, a call does not even do that.
 * 2. What a listener throws does not reach the store: Node makes it an uncaught exception.
 */

import { type Channel, channel } from 'node:diagnostics_channel'
import { MEMORY, MEMORY_FOLDER } from '../environment/node.ts'
import type { Routine } from '../environment/routine.ts'
import type { KvarkError } from '../errors.ts'
import type { EngineContext } from './engine.ts'
import type { Events, JobEvent, SlowEvent, StoreEvent } from './events.ts'

type JobName = {
  [Name in keyof Events]: Events[Name] extends JobEvent ? Name : never
}[keyof Events]

/** A job tells here what it has done. */
export interface JobReport {
  bytes: number
}

const jobs: Readonly<Record<JobName, Channel>> = {
  'kvark:recovery': channel('kvark:recovery'),
  'kvark:checkpoint': channel('kvark:checkpoint'),
  'kvark:compaction': channel('kvark:compaction'),
}
const failures = channel('kvark:failure')
const slow = channel('kvark:slow')

let lastJob = 0

/** Carries out a job of an engine, and tells of its begin and its end. */
export function* observed<T>(
  name: JobName,
  context: EngineContext,
  work: (report: JobReport) => Routine<T>,
): Routine<T> {
  const { environment } = context
  const told = jobs[name]
  const job = ++lastJob
  const begun = environment.monotonic()
  const tell = (message: JobEvent): void => told.publish(message)
  const report: JobReport = { bytes: 0 }
  const end = (error: unknown): void => {
    if (!told.hasSubscribers) return
    const durationMs = environment.monotonic() - begun
    tell({ ...storeOf(context), phase: 'end', job, durationMs, bytes: report.bytes, error })
  }
  if (told.hasSubscribers) tell({ ...storeOf(context), phase: 'start', job })
  let result: T
  try {
    result = yield* work(report)
  } catch (error) {
    end(error)
    throw error
  }
  end(undefined)
  return result
}

/** The engine takes no more writes, for this reason. */
export function publishFailure(context: EngineContext, error: KvarkError): void {
  if (failures.hasSubscribers) failures.publish({ ...storeOf(context), error })
}

/** Whether anybody listens to what is slow. */
export function hearsSlow(): boolean {
  return slow.hasSubscribers
}

export function publishSlow(event: SlowEvent): void {
  slow.publish(event)
}

function storeOf({ descriptor, folder }: EngineContext): StoreEvent {
  return { engine: descriptor.engine, path: folder === MEMORY_FOLDER ? MEMORY : folder }
}
