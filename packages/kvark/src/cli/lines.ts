/**
 * Bytes cut into lines at `\n` only. (`node:readline` also cuts at U+2028, which JSON text may hold.) The mark of UTF-8 that some editors
 * put before the first line is none of it.
 */

import { KvarkError } from '../index.ts'

const NEWLINE = 0x0a
/** The byte order mark, as UTF-8. */
const MARK = Buffer.from('\uFEFF')

/** The longest line: about the longest string of Node. */
const MAX_LINE_BYTES: number = 2 ** 29 - 32

export interface Line {
  /** Counted from 1. */
  readonly number: number
  /** Without the `\n`, and without the mark. */
  readonly bytes: Buffer
  /** Bytes of the input up to the end of this line. */
  readonly end: number
}

/** The lines of `chunks`; the last one may lack its `\n`. */
export async function* lines(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number = MAX_LINE_BYTES,
): AsyncGenerator<Line, void> {
  let number = 0
  let end = 0
  let begun: Buffer[] = []
  let begunBytes = 0
  for await (const chunk of chunks) {
    let start = 0
    for (;;) {
      const newline = chunk.indexOf(NEWLINE, start)
      const stop = newline === -1 ? chunk.length : newline
      begun.push(chunk.subarray(start, stop))
      begunBytes += stop - start
      if (begunBytes > maxBytes) {
        throw new KvarkError(
          'INVALID_ARGUMENT',
          `Line ${number + 1} is longer than ${maxBytes} bytes.`,
        )
      }
      if (newline === -1) break
      end += begunBytes + 1
      number++
      yield { number, bytes: join(begun, number), end }
      begun = []
      begunBytes = 0
      start = newline + 1
    }
  }
  if (begunBytes === 0) return
  yield { number: number + 1, bytes: join(begun, number + 1), end: end + begunBytes }
}

/** The bytes of a line, by its number. */
function join(parts: readonly Buffer[], number: number): Buffer {
  const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  const marked = number === 1 && bytes.subarray(0, MARK.length).equals(MARK)
  return marked ? bytes.subarray(MARK.length) : bytes
}
