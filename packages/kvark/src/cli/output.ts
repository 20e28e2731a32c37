/**
 * Where everything a command says goes: data to stdout, talk to stderr. The same calls print for people (text, tables,
 * colour, progress bars) or, under `--json`, one JSON object a line.
 *
 * 1. `write` waits while the reader of stdout is slow, lets signals in, and throws `OutputClosed` once the reader has gone.
 * 2. Colour and progress bars only on a terminal; no colour with `--no-color`, `NO_COLOR` or `TERM=dumb`, always with
 *    `FORCE_COLOR`.
 */

import { setImmediate } from 'node:timers/promises'
import { styleText } from 'node:util'
import type { Progress } from '../index.ts'
import { fileError, jsonOf, messageOf, OutputClosed } from './errors.ts'
import type { Io, OutputStream } from './io.ts'

export interface OutputOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly color: boolean
}

/** The looks that the commands use. */
export type Style = 'bold' | 'dim' | 'green' | 'red'

/** Text gathers up to here before it goes out. */
const CHUNK_BYTES = 64 * 1024

export class Output {
  readonly json: boolean
  readonly #io: Io
  readonly #quiet: boolean
  readonly #color: boolean
  readonly #pending: Uint8Array[] = []
  #pendingBytes = 0
  #failure: Error | undefined

  constructor(io: Io, options: OutputOptions) {
    this.json = options.json
    this.#io = io
    this.#quiet = options.quiet
    this.#color = options.color
    io.stdout.on('error', (error: Error) => {
      this.#failure ??= error
    })
    // Nobody is left to hear about it.
    io.stderr.on('error', () => {})
  }

  /** Whether stdout is a terminal, where a person reads. */
  get terminal(): boolean {
    return this.#io.stdout.isTTY === true
  }

  /** Adds data to stdout; goes out in chunks, the last one by `flush`. */
  async write(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    for (const part of parts) {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part
      this.#pending.push(bytes)
      this.#pendingBytes += bytes.length
    }
    if (this.#pendingBytes >= CHUNK_BYTES) await this.flush()
  }

  async line(text: string): Promise<void> {
    await this.write(text, '\n')
  }

  async jsonLine(value: unknown): Promise<void> {
    await this.write(JSON.stringify(value), '\n')
  }

  /** Returns when stdout has taken everything. */
  async flush(): Promise<void> {
    if (this.#pendingBytes > 0) {
      const chunk = Buffer.concat(this.#pending)
      this.#pending.length = 0
      this.#pendingBytes = 0
      await new Promise<void>((resolve) => {
        this.#io.stdout.write(chunk, (error) => {
          if (error instanceof Error) this.#failure ??= error
          resolve()
        })
      })
    }
    // A pipe may take everything at once; without a turn of the event loop no signal would ever be heard.
    await setImmediate()
    if (this.#failure === undefined) return
    if ((this.#failure as NodeJS.ErrnoException).code === 'EPIPE')
      throw new OutputClosed('stdout was closed')
    throw fileError(this.#failure, 'write to stdout', 'stdout')
  }

  /** Something for people to know, on stderr; silent under `--quiet` and `--json`. */
  talk(text: string): void {
    if (!this.#quiet && !this.json) this.#io.stderr.write(`${text}\n`)
  }

  /** Reports a failure: one line on stderr. */
  error(error: unknown): void {
    const line = this.json
      ? JSON.stringify(jsonOf(error))
      : `${this.paintError('red', 'kvark:')} ${messageOf(error)}`
    this.#io.stderr.write(`${line}\n`)
    if (this.#io.env.KVARK_DEBUG && error instanceof Error)
      this.#io.stderr.write(`${error.stack}\n`)
  }

  /** `text` in a style, for stdout. */
  paint(style: Style, text: string): string {
    return this.#paint(this.#io.stdout, style, text)
  }

  /** `text` in a style, for stderr. */
  paintError(style: Style, text: string): string {
    return this.#paint(this.#io.stderr, style, text)
  }

  #paint(stream: OutputStream, style: Style, text: string): string {
    return this.colored(stream) ? styleText(style, text, { validateStream: false }) : text
  }

  /** Whether colour goes to this stream. */
  colored(stream: OutputStream): boolean {
    const { env } = this.#io
    if (!this.#color || env.NO_COLOR) return false
    if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0'
    return stream.isTTY === true && env.TERM !== 'dumb'
  }

  /** Rows for people, under headings where there are any. Columns of numbers stand to the right. */
  async table(rows: readonly (readonly string[])[], head: readonly string[] = []): Promise<void> {
    const { default: Table } = await import('cli-table3')
    const numeric = (rows[0] ?? []).map((_, column) =>
      rows.every((row) => NUMERIC.test(row[column] ?? '')),
    )
    const table = new Table({
      head: head.map((title) => this.paint('bold', title)),
      colAligns: numeric.map((right) => (right ? 'right' : 'left')),
      chars: PLAIN_TABLE,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    })
    for (const row of rows) table.push([...row])
    await this.line(table.toString().replace(/ +$/gm, ''))
  }

  /** A bar on stderr for long work, where someone watches; `stop` it at the end in any case. */
  async progress(what: string): Promise<{ update: Progress; stop(): void }> {
    if (this.#quiet || this.json || this.#io.stderr.isTTY !== true)
      return { update: () => {}, stop: () => {} }
    const { default: progress } = await import('cli-progress')
    const bar = new progress.SingleBar({
      format: `${what} {bar} {percentage}%`,
      stream: this.#io.stderr,
      clearOnComplete: true,
      hideCursor: true,
      gracefulExit: false,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 30,
    })
    bar.start(1, 0)
    return {
      update: (done, total) => {
        bar.setTotal(total)
        bar.update(done)
      },
      stop: () => bar.stop(),
    }
  }
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** 1536 → `1.5 KiB`. */
export function humanBytes(bytes: number): string {
  let unit = 0
  let size = bytes
  while (size >= 1023.95 && unit < UNITS.length - 1) {
    size /= 1024
    unit++
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`
}

/** 1234567 → `1,234,567`. */
export function humanNumber(value: number): string {
  return value.toLocaleString('en-US')
}

/** 1 → `1 entry`, 2 → `2 entries`. */
export function countOf(count: number, one: string, many: string): string {
  return `${humanNumber(count)} ${count === 1 ? one : many}`
}

/** What `humanNumber` and `humanBytes` give. */
const NUMERIC = /^[\d,.]+( [KMGTP]?i?B)?$/

const PLAIN_TABLE = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
} as const
