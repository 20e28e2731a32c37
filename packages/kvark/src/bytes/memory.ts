/**
 * Memory in pages of its own, which goes back to the operating system when it is let go.
 *
 * A plain buffer waits for the garbage collector, and what the allocator then has of it are holes: an index whose tables have
 * grown took 16 MiB more for two million keys, the lists of a compaction another 15 MiB. A resizable buffer is mapped by itself,
 * and `resize(0)` unmaps what it held. It takes whole pages, so it is for large things.
 */

const PAGE_BYTES = 4096
/** Smaller ones would waste more of their pages than the allocator keeps. */
const LEAST_BYTES = 1.9 * PAGE_BYTES

/**
 * Small arrays are plain ones: up to 64 bytes they lie in V8's own heap, as long as nobody asks for their `buffer`, and opening a small
 * store makes hundreds.
 */
function isSmall(bytes: number): boolean {
  return bytes < LEAST_BYTES
}

/** How many bytes to ask for: about `wanted`, at least `least`. Large memory takes whole pages. */
export function roomFor(least: number, wanted: number): number {
  if (wanted < LEAST_BYTES) return wanted
  const pages = Math.max(2, Math.ceil(least / PAGE_BYTES), Math.floor(wanted / PAGE_BYTES))
  return pages * PAGE_BYTES
}

/** Zeros, that can grow up to `most`, which takes nothing but addresses until then. */
function allocate(bytes: number, most: number = bytes): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes, { maxByteLength: most })
  } catch {
    // The addresses of a process can be limited.
    return new ArrayBuffer(bytes)
  }
}

/** `length` doubles, all zero. */
export function ownFloats(length: number): Float64Array {
  if (isSmall(length * 8)) return new Float64Array(length)
  return new Float64Array(allocate(length * 8), 0, length)
}

/** `length` words, all zero, that can be `extended` to `most`. */
export function ownIntegers(length: number, most: number = length): Uint32Array {
  if (isSmall(length * 4)) return new Uint32Array(length)
  return new Uint32Array(allocate(length * 4, most * 4), 0, length)
}

/** The same memory with `length` words, the new ones zero; `undefined` where it cannot grow so far. */
export function extended(array: Uint32Array, length: number): Uint32Array | undefined {
  if (isSmall(array.byteLength)) return undefined
  const { buffer } = array
  if (!(buffer instanceof ArrayBuffer) || buffer.maxByteLength < length * 4) return undefined
  try {
    buffer.resize(length * 4)
  } catch {
    return undefined
  }
  return new Uint32Array(buffer, 0, length)
}

/** The same with `length` words, the new ones zero: the same memory where that can grow, else other; `list` is not to be used any more. */
export function larger(list: Uint32Array, length: number): Uint32Array {
  const grown = extended(list, length)
  if (grown !== undefined) return grown
  const copy = ownIntegers(length)
  copy.set(list)
  release(list)
  return copy
}

/** `length` bytes, all zero. */
export function ownBytes(length: number): Buffer {
  return isSmall(length) ? Buffer.alloc(length) : Buffer.from(allocate(length), 0, length)
}

/** Gives the memory of an array back; it is empty from then on. */
export function release(array: ArrayBufferView): void {
  if (isSmall(array.byteLength)) return
  const { buffer } = array
  if (buffer instanceof ArrayBuffer && buffer.resizable) buffer.resize(0)
}

/** Where buffers come from and go to. */
export interface BufferMemory {
  /** At least so many bytes. */
  allocate(length: number): Buffer
  release(buffer: Buffer): void
}

/** Left to the garbage collector: someone may still look at what was released. */
export const COLLECTED: BufferMemory = {
  allocate: (length) => Buffer.allocUnsafeSlow(length),
  release: () => {},
}
