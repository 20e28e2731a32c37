/**
 * The one error class of kvark. Every refusal is a `KvarkError` whose stable `code` says what kind it is; programs
 * decide by `code` and fields, people read the message, which ends with what to do next. `docs/errors.md` explains
 * each code. A missing key is never an error: it is `undefined`.
 */

/** What went wrong, as a stable word. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_KEY'
  | 'INVALID_VALUE'
  | 'DECODE'
  | 'NOT_FOUND'
  | 'CLOSED'
  | 'LOCKED'
  | 'CONFLICT'
  | 'READ_ONLY'
  | 'NO_SPACE'
  | 'IO'
  | 'CORRUPTION'
  | 'COMPACTION_FAILED'
  | 'BAD_ENCRYPTION_KEY'
  | 'MISMATCH'
  | 'UNSUPPORTED'
  | 'VERSION'

/** What an error can carry beside its code and message; each field is absent where it has no meaning. */
export interface ErrorFields {
  /** The file or folder concerned. */
  path?: string
  /** Byte offset in the file, or in the input. */
  offset?: number
  /** What should have been there (an option, a version, a checksum, a type). */
  expected?: unknown
  /** What was there. */
  found?: unknown
  /** Process id of the one that holds the lock (`LOCKED`). */
  pid?: number
  /** The operating system's own code, such as `EACCES` (`IO`, `NO_SPACE`). */
  errno?: string
  /** `unknown`: after `resume()` or the next open the write is there as a whole, or not at all. */
  outcome?: 'unknown'
  /** The same call may succeed later, unchanged. */
  retryable?: boolean
  /** The engines that have what was asked for (`UNSUPPORTED`). */
  engines?: readonly string[]
  cause?: unknown
}

/**
 * Any failure that kvark reports.
 *
 * @example
 * try {
 *   await open('./data')
 * } catch (error) {
 *   if (error instanceof KvarkError && error.code === 'LOCKED') console.error(`in use by ${error.pid}`)
 * }
 */
export class KvarkError extends Error {
  override readonly name = 'KvarkError'
  readonly code: ErrorCode
  readonly retryable: boolean
  declare readonly path?: string
  declare readonly offset?: number
  declare readonly expected?: unknown
  declare readonly found?: unknown
  declare readonly pid?: number
  declare readonly errno?: string
  declare readonly outcome?: 'unknown'
  declare readonly engines?: readonly string[]

  constructor(code: ErrorCode, message: string, fields: ErrorFields = {}) {
    const { cause, retryable, ...rest } = fields
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.retryable = retryable ?? (code === 'LOCKED' || code === 'CONFLICT')
    Object.assign(this, rest)
  }
}

/** `CORRUPTION` with its place; every damaged byte of a store is reported through this one. */
export function corruption(path: string, offset: number, what: string): KvarkError {
  return new KvarkError(
    'CORRUPTION',
    `${path}: ${what} at offset ${offset}. What was written is not what is there now. Where the store still opens, the rest stays readable, ` +
      'and `kvark verify` tells how far the damage goes. Restore what is damaged from a backup, or save the rest with `kvark repair`.',
    { path, offset },
  )
}

/** The error as a `KvarkError`: itself, or the unexpected one wrapped as `IO` so that callers see one class only. */
export function asKvarkError(error: unknown): KvarkError {
  if (error instanceof KvarkError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new KvarkError('IO', message, { cause: error })
}
