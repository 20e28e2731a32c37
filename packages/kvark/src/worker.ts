/**
 * The one worker entry: runs jobs of the engines in a thread of the pool, on file handles of its own. It stands above
 * the engines because it finds a job's function by the engine's name.
 */

import { parentPort } from 'node:worker_threads'
import { engines } from './engines.ts'
import type { Environment, Job } from './environment/environment.ts'
import {
  buffersOf,
  type JobMessage,
  type ResultMessage,
  toPlainError,
} from './environment/messages.ts'
import { nodeEnvironment } from './environment/node.ts'
import { type Routine, runAsync } from './environment/routine.ts'
import { KvarkError } from './errors.ts'

function start({ engine, job, args }: Job, environment: Environment): Routine<unknown> {
  const module = Object.hasOwn(engines, engine) ? engines[engine] : undefined
  if (module === undefined) {
    throw new KvarkError('INVALID_ARGUMENT', `There is no engine "${engine}".`, { found: engine })
  }
  const run = Object.hasOwn(module.jobs, job) ? module.jobs[job] : undefined
  if (run === undefined) {
    throw new KvarkError('INVALID_ARGUMENT', `The engine ${engine} has no job "${job}".`, {
      found: job,
    })
  }
  // The pool hands over what the engine itself sent.
  return run(environment, args as never)
}

if (parentPort !== null) {
  const port = parentPort
  const environment = nodeEnvironment(undefined, false)
  const answer = async ({ id, job }: JobMessage): Promise<void> => {
    try {
      const result = await runAsync(start(job, environment))
      const message: ResultMessage = { id, result }
      port.postMessage(message, [...buffersOf(result)])
    } catch (error) {
      const message: ResultMessage = { id, error: toPlainError(error) }
      port.postMessage(message)
    }
  }
  port.on('message', (message: JobMessage) => void answer(message))
}
