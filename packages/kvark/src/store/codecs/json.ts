/**
 * Values as JSON text. What `JSON.stringify` gives is stored, so its rules hold: members that are `undefined` vanish, `NaN`
 * becomes `null`, a `Date` comes back as a string. What it gives nothing for (`undefined`, a function, a symbol) or throws
 * on (a cycle, a bigint) is refused. Not for keys: equal objects may give different text.
 */

import type { InternalCodec, Sink } from '../internal-codec.ts'
import { brief, describe, refusal, undecodable } from './refuse.ts'
import { decodeUtf8, writeUtf8 } from './utf8.ts'

export class JsonCodec implements InternalCodec<unknown> {
  readonly name = 'json'

  encodeInto(value: unknown, sink: Sink): number {
    let text: string | undefined
    try {
      text = JSON.stringify(value)
    } catch (error) {
      throw refusal(
        'value',
        'JSON',
        `${describe(value)} that cannot be written as it`,
        `Change what does not go: ${brief(error).split('\n', 1)[0]}.`,
        error,
      )
    }
    if (text === undefined) {
      throw refusal(
        'value',
        'JSON',
        describe(value),
        'To remove a key use `delete`; for "nothing" store null.',
      )
    }
    // Always well formed: JSON.stringify escapes lone surrogates.
    return writeUtf8(text, sink)
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    const text = decodeUtf8(bytes, start, end, 'value', this.name)
    try {
      return JSON.parse(text)
    } catch (error) {
      throw undecodable('value', this.name, 'it is not JSON', error)
    }
  }
}
