/** What the commands that write share: conditions, durability, and the codecs of a new store. */

import type { WriteOptions } from '../../index.ts'
import type { Context } from '../session.ts'

/** Codecs that the user named. */
export interface CodecOptions {
  readonly keys?: string
  readonly values?: string
}

export interface ConditionOptions {
  readonly ifAbsent?: boolean
  readonly ifVersion?: number
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
