/**
 * The real world: the machine's clock, randomness, event loop and threads, over the files given.
 *
 * Nothing here keeps the process alive, and nothing starts before it is used.
 */

import { randomFillSync } from 'node:crypto'
import type { Files } from '../vfs/files.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { nodeFiles } from '../vfs/node.ts'
import type { Environment, Timer } from './environment.ts'
import { executeInPool, hasWorkers } from './pool.ts'
import { Effect } from './routine.ts'

/** The path of a store that lives in memory only, and the folder that it has there. */
export const MEMORY = ':memory:'
export const MEMORY_FOLDER = '/:memory:'

/** A longer `setTimeout` would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * `threads`: whether jobs go to the process's worker pool; a worker says no. Files that no other thread can open never
 * do.
 */
export function nodeEnvironment(files: Files = nodeFiles, threads = true): Environment {
  return {
    files,
    now: () => Date.now(),
    monotonic: () => performance.now(),
    random: (length) => randomFillSync(new Uint8Array(length)),
    ...(threads && hasWorkers && files.shareable ? { execute: executeInPool } : undefined),
    defer: (callback) => process.nextTick(callback),
    pause: new Effect(
      () => {},
      () => new Promise<void>((resolve) => setImmediate(resolve)),
    ),
    timer: startTimer,
    warn: (message) => process.emitWarning(message, 'KvarkWarning'),
  }
}

/** The environment of a store named `:memory:`: real but for its files, which are its own. */
export function memoryEnvironment(): Environment {
  return nodeEnvironment(memoryFiles())
}

function startTimer(ms: number, callback: () => void): Timer {
  const timeout = setTimeout(callback, Math.min(ms, LONGEST_TIMER_MS)).unref()
  return { cancel: () => clearTimeout(timeout) }
}
