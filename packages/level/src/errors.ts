/**
 * From kvark's errors to those of abstract-level.
 *
 *   KvarkError { code: 'LOCKED' } ──► LevelError { code: 'LEVEL_LOCKED', cause: the KvarkError }
 *
 * 1. A code that abstract-level has no word for stays the `KvarkError` that it is. What is no `KvarkError` comes through as it is.
 * 2. What keeps a database from opening is the `cause` of abstract-level's own `LEVEL_DATABASE_NOT_OPEN`.
 */

import { KvarkError, type ErrorCode as KvarkErrorCode } from 'kvark'

/** The codes of this package's own errors: some of those that abstract-level knows. */
export type ErrorCode =
  | 'LEVEL_ABORTED'
  | 'LEVEL_CORRUPTION'
  | 'LEVEL_DATABASE_NOT_OPEN'
  | 'LEVEL_DECODE_ERROR'
  | 'LEVEL_INVALID_KEY'
  | 'LEVEL_INVALID_VALUE'
  | 'LEVEL_IO_ERROR'
  | 'LEVEL_LOCKED'
  | 'LEVEL_NOT_SUPPORTED'
  | 'LEVEL_READONLY'

const CODES: Readonly<Partial<Record<KvarkErrorCode, ErrorCode>>> = {
  CLOSED: 'LEVEL_DATABASE_NOT_OPEN',
  COMPACTION_FAILED: 'LEVEL_IO_ERROR',
  CORRUPTION: 'LEVEL_CORRUPTION',
  DECODE: 'LEVEL_DECODE_ERROR',
  INVALID_KEY: 'LEVEL_INVALID_KEY',
  INVALID_VALUE: 'LEVEL_INVALID_VALUE',
  IO: 'LEVEL_IO_ERROR',
  LOCKED: 'LEVEL_LOCKED',
  NO_SPACE: 'LEVEL_IO_ERROR',
  READ_ONLY: 'LEVEL_READONLY',
  UNSUPPORTED: 'LEVEL_NOT_SUPPORTED',
}

/**
 * An error with a `code` of abstract-level. Where kvark refused, `cause` is the `KvarkError` with all that it tells: path, offset, the
 * pid of the process that has the database open.
 *
 * @example
 * try {
 *   await db.open()
 * } catch (error) {
 *   if (error.cause?.code === 'LEVEL_LOCKED') console.error(`in use by process ${error.cause.cause.pid}`)
 *   else throw error
 * }
 */
export class LevelError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    // What was aborted has the name that the web gives it.
    this.name = code === 'LEVEL_ABORTED' ? 'AbortError' : 'LevelError'
    this.code = code
  }
}

/** What to throw where `error` was thrown. */
export function asLevelError(error: unknown): unknown {
  const code = error instanceof KvarkError ? CODES[error.code] : undefined
  return code === undefined
    ? error
    : new LevelError(code, (error as KvarkError).message, { cause: error })
}

export function notOpen(): LevelError {
  return new LevelError('LEVEL_DATABASE_NOT_OPEN', 'The database is not open. Open it to use it.')
}
