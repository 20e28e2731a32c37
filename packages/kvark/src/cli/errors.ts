/**
 * How a run of the command line ends: every outcome is an exit code, and every failure one line on stderr (under
 * `--json` one JSON object). `docs/cli.md` lists the codes for people.
 *
 * 1. A message is one line, whatever was thrown; a stack is shown only with `KVARK_DEBUG` in the environment.
 * 2. Bad input of the command line itself is a `KvarkError` too (`INVALID_…`), so there is one kind of failure.
 */

import type { CommanderError } from 'commander'
import { type ErrorCode, KvarkError } from '../index.ts'

export const EXIT_OK = 0
/** No such key or store, a condition that does not hold, `has` says no. */
export const EXIT_NO = 1
export const EXIT_USAGE = 2
/** The disk, or what is on it: I/O, damage, bytes or versions that cannot be read. */
export const EXIT_STORAGE = 3
export const EXIT_LOCKED = 4
export const EXIT_PERMISSION = 5
/** `repair` has made the new store, but not all could be read. */
export const EXIT_LOST = 6

const EXIT_CODES: Readonly<Record<ErrorCode, number>> = {
  NOT_FOUND: EXIT_NO,
  CONFLICT: EXIT_NO,
  INVALID_ARGUMENT: EXIT_USAGE,
  INVALID_KEY: EXIT_USAGE,
  INVALID_VALUE: EXIT_USAGE,
  MISMATCH: EXIT_USAGE,
  UNSUPPORTED: EXIT_USAGE,
  LOCKED: EXIT_LOCKED,
  READ_ONLY: EXIT_PERMISSION,
  BAD_ENCRYPTION_KEY: EXIT_PERMISSION,
  DECODE: EXIT_STORAGE,
  CLOSED: EXIT_STORAGE,
  NO_SPACE: EXIT_STORAGE,
  IO: EXIT_STORAGE,
  CORRUPTION: EXIT_STORAGE,
  COMPACTION_FAILED: EXIT_STORAGE,
  VERSION: EXIT_STORAGE,
}

const PERMISSION_ERRNOS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS'])

/** A signal asked the command to stop; the shell's convention for its exit code is 128 + the signal's number. */
export class Interrupted extends Error {
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super('Interrupted.')
    this.exitCode = signal === 'SIGINT' ? 130 : 143
  }
}

/** Whoever read our output has gone (`| head -1`): nothing more to do, and nothing to complain about. */
export class OutputClosed extends Error {}

/** The exit code that a failure ends in. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof OutputClosed) return EXIT_OK
  if (error instanceof Interrupted) return error.exitCode
  if (!(error instanceof KvarkError)) return EXIT_STORAGE
  if (error.errno !== undefined && PERMISSION_ERRNOS.has(error.errno)) return EXIT_PERMISSION
  return EXIT_CODES[error.code]
}

/** The failure in one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof KvarkError && error.code === 'LOCKED' && error.path !== undefined) {
    return lockedMessage(error.path, error.pid)
  }
  return inWordsOfCommands(text)
    .replace(/\s*[\r\n]+\s*/g, ' ')
    .trim()
}

/** The library advises a program, which has the store open and goes on; a command is typed again. */
function inWordsOfCommands(text: string): string {
  return text
    .replaceAll(', then call resume().', ', and try again.')
    .replaceAll('; call resume() and read it back.', ': read it back.')
    .replaceAll(' Read it with getStream.', ' `kvark get KEY --raw` prints it.')
}

/** The library's own message advises an option that is not one of the command line. */
function lockedMessage(path: string, pid: number | undefined): string {
  const [holder, end] =
    pid === undefined
      ? ['another process', 'that process']
      : [`process ${pid}`, `that process (kill ${pid})`]
  return `${path} is in use by ${holder}: a store has one writer at a time. Close the store there, or end ${end}, and try again.`
}

/** What commander says of wrong usage, as a sentence in our words. */
export function usageError(error: CommanderError): KvarkError {
  const text = error.message
    .replace(/^error: /, '')
    // What stands behind `=` may be a secret.
    .replace(/^(unknown option '--[^=\n]*)=.*'(?=$|\n)/s, "$1'")
    .replace(/^command-argument value ('.*') is invalid for argument ('.*')\. /, '$1 is no $2. ')
    .replace(/\n\(Did you mean (.*)\?\)$/, '; did you mean $1?')
  const sentence = text.charAt(0).toUpperCase() + text.slice(1)
  const end = /[.?]$/.test(sentence) ? '' : '.'
  return new KvarkError('INVALID_ARGUMENT', `${sentence}${end} See \`kvark help\`.`)
}

/** The failure as plain data, for `--json`. */
export function jsonOf(error: unknown): { error: Record<string, unknown> } {
  const message = messageOf(error)
  if (error instanceof Interrupted) return { error: { code: 'INTERRUPTED', message } }
  if (!(error instanceof KvarkError)) return { error: { code: 'IO', message } }
  // The fields of its own: code, path, offset, …
  const { name: _, ...fields } = error
  return { error: { ...fields, code: error.code, message } }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
}

/** A failure of Node's file functions or streams as a `KvarkError`: `Cannot <what>: <reason>.` */
export function fileError(error: unknown, what: string, path: string): KvarkError {
  if (error instanceof KvarkError) return error
  const { code: errno, message } = error as NodeJS.ErrnoException
  const missing = what.startsWith('write') ? 'there is no such folder' : 'there is no such file'
  const reason = errno === 'ENOENT' ? missing : (REASONS[errno ?? ''] ?? message)
  return new KvarkError(errno === 'ENOSPC' ? 'NO_SPACE' : 'IO', `Cannot ${what}: ${reason}.`, {
    path,
    ...(errno === undefined ? {} : { errno }),
    cause: error,
  })
}
