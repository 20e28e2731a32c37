/**
 * The command line, from arguments to exit code. It uses the public API only, like any other program.
 *
 *   argv ──program.ts──► a command of commands/ ──session.ts──► an open store
 *                             │
 *                             └──output.ts──► stdout: data, stderr: talk; errors.ts: how it ends
 *
 * 1. Nothing is thrown and `process.exit` is never called: the result is the exit code.
 * 2. A store that was opened is closed before the end, also after SIGINT and SIGTERM.
 */

import { exitCodeOf, OutputClosed } from './errors.ts'
import { type Io, processIo } from './io.ts'
import { Output } from './output.ts'
import { runProgram } from './program.ts'

const LONGEST_INTERVAL_MS = 2 ** 31 - 1

/** Runs the command line of this process. */
export async function main(argv: readonly string[]): Promise<number> {
  const io = processIo()
  try {
    return await run(argv, io)
  } finally {
    io.release()
  }
}

/** Runs a command line in the world of `io`. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // Looked up by hand, since these also decide how it is said that the arguments cannot be parsed.
  const options = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length)
  const output = new Output(io, {
    json: options.includes('--json'),
    quiet: options.includes('--quiet'),
    color: !options.includes('--no-color'),
  })
  // Kvark's own timers let a process end that has nothing else to do; a command waits for them.
  const alive = setInterval(() => {}, LONGEST_INTERVAL_MS)
  try {
    const code = await runProgram(argv, io, output)
    await output.flush()
    return code
  } catch (error) {
    // What was found before the failure is still worth having.
    await output.flush().catch(() => {})
    if (!(error instanceof OutputClosed)) output.error(error)
    return exitCodeOf(error)
  } finally {
    clearInterval(alive)
  }
}
