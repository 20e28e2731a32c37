/**
 * Runs the command line for tests: in this process with streams of its own (`runCommand`), or as the real program
 * (`startCommand`), which costs a third of a second but shows what a shell would see.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Io, OutputStream } from '../cli/io.ts'
import { run } from '../cli/main.ts'

/** The program, as npm links it. */
export const KVARK_BIN: string = fileURLToPath(new URL('../../bin/kvark.js', import.meta.url))

export interface CommandResult {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface CommandOptions {
  readonly stdin?: string | Uint8Array | Readable
  /** Another stdout than the one that is collected. */
  readonly stdout?: OutputStream
  /** The streams say that they are a terminal. */
  readonly terminal?: boolean
  readonly env?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** The command line in this process. */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const stdout = collector(options.terminal === true)
  const stderr = collector(options.terminal === true)
  const { stdin = '' } = options
  const io: Io = {
    stdin: stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]),
    stdout: options.stdout ?? stdout.stream,
    stderr: stderr.stream,
    env: options.env ?? {},
    signal: options.signal ?? new AbortController().signal,
  }
  const code = await run(argv, io)
  return { code, stdout: stdout.bytes(), stderr: stderr.bytes().toString() }
}

function collector(isTTY: boolean): { stream: OutputStream; bytes(): Buffer } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return {
    stream: Object.assign(stream, { isTTY, columns: 80 }),
    bytes: () => Buffer.concat(chunks),
  }
}

/** The command line as a child process. */
export interface StartedCommand {
  readonly child: ChildProcess
  readonly result: Promise<CommandResult>
  /** Settles once stderr has `text`. */
  readonly said: (text: string) => Promise<void>
}

/** Starts the program, or with `script` a module text that gets `argv`. */
export function startCommand(argv: readonly string[], script?: string): StartedCommand {
  const program = script === undefined ? [KVARK_BIN] : ['--input-type=module', '-e', script, '--']
  const child = spawn(process.execPath, [...program, ...argv], { stdio: 'pipe' })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    child.emit('said')
  })
  // A program that ends early does not read everything it is given.
  child.stdin.on('error', () => {})
  const result = new Promise<CommandResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }))
  })
  return {
    child,
    result,
    said: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (stderr.includes(text)) resolve()
        }
        child.on('said', look)
        child.once('close', () => reject(new Error(`ended without saying ${text}: ${stderr}`)))
        look()
      }),
  }
}
