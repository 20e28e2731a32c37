/**
 * What a run of the command line sees of its process: three streams, the environment, and a signal to stop. `main` takes
 * it as a parameter, so that nothing below it reaches for the process itself.
 */

import type { Readable, Writable } from 'node:stream'
import { Interrupted } from './errors.ts'

export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number }

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted with an `Interrupted` when the command is asked to stop. */
  readonly signal: AbortSignal
}

/** This process, until `release`. The first SIGINT or SIGTERM asks to stop; a second one ends the process as usual. */
export function processIo(): Io & { release(): void } {
  const controller = new AbortController()
  const onInt = (): void => controller.abort(new Interrupted('SIGINT'))
  const onTerm = (): void => controller.abort(new Interrupted('SIGTERM'))
  process.once('SIGINT', onInt)
  process.once('SIGTERM', onTerm)
  return {
    // Looking at process.stdin opens it, so only those who read it do.
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: controller.signal,
    release() {
      process.removeListener('SIGINT', onInt)
      process.removeListener('SIGTERM', onTerm)
    },
  }
}
