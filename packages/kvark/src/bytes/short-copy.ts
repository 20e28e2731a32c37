/**
 * Copies short runs of bytes from and to any place, eight bytes a step.
 *
 * `Buffer.copy` and `set(subarray)` make an object and call native code each time: for the hundred bytes of a common entry that takes
 * two to three times as long as the loop; from some 250 bytes on it is faster. Through views, as such runs begin at odd places.
 */

/** Longer runs are copied faster by a call. */
export const SHORT_COPY_BYTES = 192

/** A view of the same bytes. */
export function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length)
}

/** Copies `length` bytes, up to `SHORT_COPY_BYTES` at best, to another memory. */
export function copyShort(
  target: DataView,
  to: number,
  source: DataView,
  from: number,
  length: number,
): void {
  let i = 0
  for (const end = length & ~7; i < end; i += 8) {
    target.setInt32(to + i, source.getInt32(from + i))
    target.setInt32(to + i + 4, source.getInt32(from + i + 4))
  }
  for (; i < length; i++) target.setUint8(to + i, source.getUint8(from + i))
}

/** What `copyAhead` may touch behind the end of both. */
export const AHEAD_BYTES = 7

/** The same, for pieces of a few bytes in a row: there may be room behind both for what is copied in vain, `AHEAD_BYTES`. */
export function copyAhead(
  target: DataView,
  to: number,
  source: DataView,
  from: number,
  length: number,
): void {
  for (let i = 0; i < length; i += 8) {
    target.setInt32(to + i, source.getInt32(from + i))
    target.setInt32(to + i + 4, source.getInt32(from + i + 4))
  }
}
