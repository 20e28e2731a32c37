/**
 * `repl`: a prompt. Each line is a command line without `kvark`, with the options that `repl` was given; the store is opened and closed by
 * each of them, so it is free for others in between.
 *
 *   terminal   prompt, history (`history.ts`), Tab (`suggestions.ts`); Ctrl-C ends what runs or clears the line, Ctrl-D leaves
 *   else       one command a line from stdin, without a prompt
 *
 * 1. Whatever a line does, the next one is read: errors are one line each. The exit code is that of the last line that failed.
 * 2. Lines have no stdin of their own: a value comes from a file or stands in the line.
 */

import { isUtf8 } from 'node:buffer'
import { createInterface, type Interface } from 'node:readline/promises'
import { Readable, Writable } from 'node:stream'
import type { Command } from 'commander'
import { KvarkError } from '../../index.ts'
import { EXIT_OK, EXIT_USAGE, exitCodeOf, Interrupted } from '../errors.ts'
import { inputChunks, openInput } from '../files.ts'
import { HISTORY_LINES, historyFile, readHistory, writeHistory } from '../history.ts'
import type { Io, OutputStream } from '../io.ts'
import { type Line, lines } from '../lines.ts'
import type { Context } from '../session.ts'
import { suggestions } from '../suggestions.ts'
import { wordsOf } from '../words.ts'

const PROMPT = 'kvark> '
const ENDS: readonly (string | undefined)[] = ['exit', 'quit']
/** Commands that make no sense here. */
const NOT_HERE: readonly (string | undefined)[] = ['repl', 'complete']

export async function repl(context: Context, program: Command): Promise<number> {
  const { io } = context
  const terminal = io.stdin.isTTY === true && io.stdout.isTTY === true
  const options = givenOptions(program)
  if (terminal) return await atTerminal(context, program, options)
  const typed = lines(inputChunks(await openInput(io, '-'), 'stdin'))
  try {
    return await new Session(context, options, undefined).run(typed)
  } finally {
    // It lets go of stdin, which would keep the process alive.
    await typed.return()
  }
}

async function atTerminal(
  context: Context,
  program: Command,
  options: readonly string[],
): Promise<number> {
  const { io, output } = context
  const file = historyFile(io.env)
  const history = await readHistory(file)
  io.signal.throwIfAborted()
  let kept: readonly string[] = history
  const prompt = createInterface({
    input: io.stdin,
    output: io.stdout,
    terminal: true,
    prompt: PROMPT,
    historySize: HISTORY_LINES,
    history,
    removeHistoryDuplicates: true,
    completer: (line: string) => suggestions(program, context, line),
  })
  prompt.on('history', (all: string[]) => {
    kept = all
  })
  // At once: a line that comes before somebody listens is lost.
  const typed = prompt[Symbol.asyncIterator]()
  output.talk(`The store in ${context.options.dataDir}. "help" lists the commands, Ctrl-D leaves.`)
  try {
    return await new Session(context, options, prompt).run(typed)
  } finally {
    prompt.close()
    if (!(await writeHistory(file, kept))) {
      output.talk(`The history could not be kept in ${file}.`)
    }
  }
}

class Session {
  readonly #context: Context
  readonly #options: readonly string[]
  /** Of a terminal. */
  readonly #prompt: Interface | undefined
  /** Ends the command that runs. */
  #running: AbortController | undefined

  constructor(context: Context, options: readonly string[], prompt: Interface | undefined) {
    this.#context = context
    this.#options = options
    this.#prompt = prompt
  }

  async run(typed: AsyncIterator<string | Line>): Promise<number> {
    const { signal } = this.#context.io
    const prompt = this.#prompt
    prompt?.on('SIGINT', () => this.#interrupt(prompt))
    const onAbort = (): void => {
      this.#running?.abort(signal.reason)
      prompt?.close()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    let failed: number = EXIT_OK
    try {
      for (;;) {
        prompt?.prompt()
        const { done, value: line } = await typed.next()
        signal.throwIfAborted()
        // Ctrl-D leaves the prompt where it is.
        if (done) {
          if (prompt !== undefined) this.#context.io.stdout.write('\n')
          return failed
        }
        const code = await this.#carryOut(line)
        // It has been told already, by the command that was interrupted.
        if (signal.aborted && code === exitCodeOf(signal.reason)) return code
        signal.throwIfAborted()
        if (code === undefined) return failed
        if (code !== EXIT_OK && prompt === undefined) failed = code
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** The exit code of a line; `undefined`: it was the last. */
  async #carryOut(typed: string | Line): Promise<number | undefined> {
    const { io, output } = this.#context
    let words: readonly string[]
    try {
      const line = typeof typed === 'string' ? typed : textOf(typed)
      words = line.trimStart().startsWith('#') ? [] : wordsOf(line)
      if (NOT_HERE.includes(words[0])) {
        throw new KvarkError('INVALID_ARGUMENT', `'${words[0]}' is no command of the prompt.`)
      }
    } catch (error) {
      output.error(error)
      return EXIT_USAGE
    }
    if (words.length === 0) return EXIT_OK
    if (ENDS.includes(words[0])) return undefined
    const running = new AbortController()
    this.#running = running
    try {
      // Not above: it imports this module.
      const { run } = await import('../main.ts')
      return await run([...this.#options, ...words], worldOfLine(io, running.signal))
    } finally {
      this.#running = undefined
    }
  }

  /** Ctrl-C. */
  #interrupt(prompt: Interface): void {
    if (this.#running !== undefined) {
      this.#running.abort(new Interrupted('SIGINT'))
      return
    }
    this.#context.io.stdout.write('\n')
    // To the end of the line, and away with all before it.
    prompt.write(null, { ctrl: true, name: 'e' })
    prompt.write(null, { ctrl: true, name: 'u' })
    prompt.prompt()
  }
}

/** A line of a pipe as it stands there, without the `\r` of a file of Windows. */
function textOf({ number, bytes }: Line): string {
  if (!isUtf8(bytes)) {
    throw new KvarkError(
      'INVALID_ARGUMENT',
      `Line ${number} is not UTF-8 text. Give other bytes with --encoding hex, or a value in a file: @file.`,
    )
  }
  return bytes.toString().replace(/\r$/, '')
}

/** The options of all commands that `repl` was given, to be given to each line. */
function givenOptions(program: Command): string[] {
  return program.options.flatMap((option) => {
    const name = option.attributeName()
    const value: unknown = program.getOptionValue(name)
    if (program.getOptionValueSource(name) !== 'cli' || !option.long) return []
    return typeof value === 'boolean' ? [option.long] : [`${option.long}=${String(value)}`]
  })
}

/** What a line sees: the streams for writing, but not stdin, which has the lines. */
function worldOfLine(io: Io, signal: AbortSignal): Io {
  const refusal = new KvarkError(
    'INVALID_ARGUMENT',
    'There is no stdin for a command at the prompt. Give the value itself, or a file: @file.',
  )
  return {
    stdin: new Readable({
      read() {
        this.destroy(refusal)
      },
    }),
    stdout: through(io.stdout),
    stderr: through(io.stderr),
    env: io.env,
    signal,
  }
}

/** A stream that writes into another, and takes its listeners with it when it goes. */
function through(stream: OutputStream): OutputStream {
  const { isTTY, columns } = stream
  const forward = new Writable({
    write(chunk: Buffer, _encoding, done) {
      stream.write(chunk, done)
    },
  })
  return Object.assign(forward, {
    ...(isTTY === undefined ? {} : { isTTY }),
    ...(columns === undefined ? {} : { columns }),
  })
}
