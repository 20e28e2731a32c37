/** XXH64 and LZ4 from their public descriptions, for the reader that knows nothing of kvark. Slow and short. */

const P1 = 0x9e3779b185ebca87n
const P2 = 0xc2b2ae3d27d4eb4fn
const P3 = 0x165667b19e3779f9n
const P4 = 0x85ebca77c2b2ae63n
const P5 = 0x27d4eb2f165667c5n

const word = (value: bigint): bigint => BigInt.asUintN(64, value)
const rotate = (value: bigint, bits: bigint): bigint =>
  word((value << bits) | (word(value) >> (64n - bits)))
const round = (lane: bigint, input: bigint): bigint =>
  word(rotate(word(lane + input * P2), 31n) * P1)

export function xxh64Of(bytes: Buffer, seed: number): bigint {
  const s = BigInt(seed)
  let at = 0
  let hash = word(s + P5)
  if (bytes.length >= 32) {
    const lanes = [word(s + P1 + P2), word(s + P2), s, word(s - P1)]
    for (; at + 32 <= bytes.length; at += 32) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i]!, bytes.readBigUInt64LE(at + 8 * i))
    }
    const turns = [1n, 7n, 12n, 18n]
    hash = word(lanes.reduce((sum, lane, i) => sum + rotate(lane, turns[i]!), 0n))
    for (const lane of lanes) hash = word((hash ^ round(0n, lane)) * P1 + P4)
  }
  hash = word(hash + BigInt(bytes.length))
  for (; at + 8 <= bytes.length; at += 8) {
    hash = word(rotate(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * P1 + P4)
  }
  if (at + 4 <= bytes.length) {
    hash = word(rotate(hash ^ word(BigInt(bytes.readUInt32LE(at)) * P1), 23n) * P2 + P3)
    at += 4
  }
  for (; at < bytes.length; at++) {
    hash = word(rotate(hash ^ word(BigInt(bytes[at]!) * P5), 11n) * P1)
  }
  hash = word((hash ^ (hash >> 33n)) * P2)
  hash = word((hash ^ (hash >> 29n)) * P3)
  return hash ^ (hash >> 32n)
}

/** One LZ4 block that gives `length` bytes. */
export function unpackLz4(bytes: Buffer, length: number): Buffer {
  const result = Buffer.alloc(length)
  let from = 0
  let to = 0
  const more = (nibble: number): number => {
    let count = nibble
    if (nibble === 15) {
      let byte: number
      do {
        byte = bytes[from++]!
        count += byte
      } while (byte === 255)
    }
    return count
  }
  while (from < bytes.length) {
    const token = bytes[from++]!
    const literals = more(token >>> 4)
    bytes.copy(result, to, from, from + literals)
    from += literals
    to += literals
    if (from >= bytes.length) break
    const back = bytes.readUInt16LE(from)
    from += 2
    const match = more(token & 15) + 4
    for (let i = 0; i < match; i++, to++) result[to] = result[to - back]!
  }
  return to === length ? result : Buffer.alloc(0)
}
