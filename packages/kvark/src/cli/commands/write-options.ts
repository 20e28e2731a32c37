/** What the commands that read and write entries share: the table, conditions, expiry, durability, and the codecs of a new store. */

import type { Expiry, WriteOptions } from '../../index.ts'
import type { Context } from '../session.ts'

/** Codecs that the user named. */
export interface CodecOptions {
  readonly keys?: string
  readonly values?: string
}

/** Which table a command works on. */
export interface TableArgument {
  readonly table?: string
}

export interface ConditionOptions {
  readonly ifAbsent?: boolean
  readonly ifVersion?: number
}

export interface ExpiryOptions {
  /** Ms. */
  readonly ttl?: number
}

export function expiryOptions({ ttl }: ExpiryOptions): Expiry {
  return ttl === undefined ? {} : { ttl }
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** The milliseconds of a time such as `90s`; `undefined` where it is none. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? []
  const ms = Number(number) * (UNITS[unit!] ?? Number.NaN)
  return ms > 0 ? ms : undefined
}

export function codecsOf({ keys, values }: CodecOptions): CodecOptions {
  return { ...(keys !== undefined && { keys }), ...(values !== undefined && { values }) }
}

/** The conditions and the durability of one write. */
export function writeOptions(
  context: Context,
  { ifAbsent, ifVersion }: ConditionOptions,
): WriteOptions {
  const { durability } = context.options
  return {
    ...(durability !== undefined && { durability }),
    ...(ifAbsent !== undefined && { ifAbsent }),
    ...(ifVersion !== undefined && { ifVersion }),
  }
}
