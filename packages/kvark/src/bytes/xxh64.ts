/**
 * XXH64 (Yann Collet) of up to `XXH64_INPUT_BYTES`: on long input about twice as fast as a CRC. A WebAssembly kernel of ours, because
 * libraries compile theirs asynchronously and a store can be opened at once.
 *
 * 1. The kernel is compiled when first used, in less than a millisecond.
 */

import { XXH64_INPUT_AT, XXH64_INPUT_BYTES, XXH64_KERNEL } from './xxh64-kernel.ts'

interface Kernel {
  readonly input: Uint8Array
  /** [lower half, upper half] */
  readonly result: Uint32Array
  readonly run: (length: number, seed: number) => void
}

/** What of it is used here; the types of Node do not have it. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer }
      readonly run: Kernel['run']
    }
  }
}

let kernel: Kernel | undefined

/** XXH64 of `bytes[start .. end)` with a seed of 32 bits, as [lower half, upper half]; the next call overwrites it. */
export function xxh64(bytes: Uint8Array, start: number, end: number, seed: number): Uint32Array {
  const { input, result, run } = (kernel ??= load())
  const length = end - start
  if (length > XXH64_INPUT_BYTES) throw new RangeError(`${length} bytes are too many for one hash`)
  input.set(bytes.subarray(start, end), 0)
  run(length, seed)
  return result
}

function load(): Kernel {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi }
  const module = new WebAssembly.Module(Buffer.from(XXH64_KERNEL, 'base64'))
  const { memory, run } = new WebAssembly.Instance(module).exports
  const input = new Uint8Array(memory.buffer, XXH64_INPUT_AT)
  return { input, result: new Uint32Array(memory.buffer, 0, 2), run }
}
