/**
 * What the worker pool and its workers say to each other. Errors cross as plain data, because a structured clone of a
 * `KvarkError` would be a plain `Error` without its fields.
 *
 *   pool ── { id, job } ──► worker
 *   pool ◄── { id, result } | { id, error } ── worker
 */

import { asKvarkError, type ErrorCode, type ErrorFields, KvarkError } from '../errors.ts'
import type { Job } from './environment.ts'

export interface JobMessage {
  readonly id: number
  readonly job: Job
}

export type ResultMessage =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: PlainError }

export interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly stack: string | undefined
  readonly fields: Omit<ErrorFields, 'cause'>
  /** The message of the cause. */
  readonly cause: string | undefined
}

export function toPlainError(error: unknown): PlainError {
  const { name: _, code, cause, message, stack, ...fields } = asKvarkError(error)
  return {
    code,
    message: message ?? '',
    stack,
    fields,
    cause: cause instanceof Error ? cause.message : undefined,
  }
}

export function fromPlainError({ code, message, stack, fields, cause }: PlainError): KvarkError {
  const error = new KvarkError(code, message, {
    ...fields,
    ...(cause === undefined ? undefined : { cause: new Error(cause) }),
  })
  // Where it happened tells more than where it was received.
  if (stack !== undefined) error.stack = stack
  return error
}

/** The memory of typed arrays in arguments or a result, which is handed over instead of copied. */
export function buffersOf(value: unknown, found: Set<ArrayBuffer> = new Set()): Set<ArrayBuffer> {
  if (typeof value !== 'object' || value === null) return found
  if (ArrayBuffer.isView(value)) {
    // A part of a larger buffer stays: others may use the rest.
    const { buffer, byteLength } = value
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) found.add(buffer)
  } else if (value instanceof ArrayBuffer) {
    found.add(value)
  } else {
    for (const part of Object.values(value)) buffersOf(part, found)
  }
  return found
}
