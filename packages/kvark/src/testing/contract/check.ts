/** What the cases of the contract suite assert with, and the little things they need again and again. */

import assert from 'node:assert/strict'
import { type ErrorCode, KvarkError } from '../../errors.ts'
import type { Cursor, ScanOptions } from '../../store/call-types.ts'
import type { Reader } from '../../store/types.ts'

/** The promise of `act` must reject with this code; `act` itself must not throw. Gives the error. */
export async function rejects(code: ErrorCode, act: () => Promise<unknown>): Promise<KvarkError> {
  const promise = act()
  try {
    await promise
  } catch (error) {
    return checkCode(code, error)
  }
  return assert.fail(`must reject with ${code}`)
}

/** `act` must throw this code. Gives the error. */
export function throws(code: ErrorCode, act: () => unknown): KvarkError {
  try {
    act()
  } catch (error) {
    return checkCode(code, error)
  }
  return assert.fail(`must throw ${code}`)
}

function checkCode(code: ErrorCode, error: unknown): KvarkError {
  assert.ok(error instanceof KvarkError, `not a KvarkError but ${String(error)}`)
  assert.equal(error.code, code, error.message)
  return error
}

/** Bytes of a readable form: characters below U+0100 stand for themselves. */
export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'))
}

/** The readable form of bytes. */
export function text(value: Uint8Array): string {
  return Buffer.from(value).toString('latin1')
}

/** `length` bytes that differ by place and by `seed`. */
export function pattern(length: number, seed: number): Uint8Array {
  const result = new Uint8Array(length)
  for (let i = 0; i < length; i++) result[i] = (i * 31 + (i >>> 8) * 7 + seed * 13) & 255
  return result
}

export async function collect<T>(cursor: Cursor<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of cursor) all.push(item)
  return all
}

/** All entries of a store with string keys, by key. */
export async function content<V>(
  reader: Reader<string, V>,
  options?: ScanOptions,
): Promise<Record<string, V>> {
  const entries = await collect(reader.entries(options))
  const result = Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
  assert.equal(Object.keys(result).length, entries.length, 'no key may come twice')
  return result
}

/** The names `key00` … in order. */
export function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `key${String(i).padStart(4, '0')}`)
}

/** Waits until the event loop has gone round. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}
