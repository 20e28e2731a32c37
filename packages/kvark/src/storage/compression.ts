/**
 * The compressions that blocks may have, by name and by the id that blocks carry.
 *
 *   lz4       WebAssembly, loaded when a store with it is first opened; `UNSUPPORTED` where the package is missing
 *   deflate   of Node, without a header, at its fastest level
 *   zstd      of Node, from 22.15 on; `UNSUPPORTED` before
 *
 * 1. `decompress` gives exactly the bytes that were compressed, or `undefined`: damaged input never throws.
 */

import zlib from 'node:zlib'
import { loadPackage } from '../environment/packages.ts'
import { KvarkError } from '../errors.ts'

export type CompressionName = 'none' | 'lz4' | 'deflate' | 'zstd'

export const COMPRESSIONS: readonly CompressionName[] = ['none', 'lz4', 'deflate', 'zstd']

export interface Compression {
  readonly name: CompressionName
  /** 1 … 15, kept in every block. */
  readonly id: number
  compress(bytes: Uint8Array): Uint8Array
  /** `length`: what must come out. */
  decompress(bytes: Uint8Array, length: number): Uint8Array | undefined
}

/** The package's functions; its output begins with the length as a u32. */
interface Lz4 {
  compress(bytes: Uint8Array): Uint8Array
  decompress(bytes: Uint8Array): Uint8Array
}

/** Not in the types of the oldest Node. */
interface Zstd {
  zstdCompressSync?: (bytes: Uint8Array, options: object) => Uint8Array
  zstdDecompressSync?: (bytes: Uint8Array, options: object) => Uint8Array
}

const LENGTH_BYTES = 4
const FASTEST = 1

let lz4: Lz4 | undefined

function loadLz4(): Lz4 {
  lz4 ??= loadPackage('lz4-wasm-nodejs', "The compression 'lz4'") as Lz4
  return lz4
}

const LZ4: Compression = {
  name: 'lz4',
  id: 1,
  compress: (bytes) => loadLz4().compress(bytes),
  decompress(bytes, length) {
    // It would make room for whatever the first bytes claim.
    const claimed = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    if (bytes.length < LENGTH_BYTES || claimed.getUint32(0, true) !== length) return undefined
    return attempt(() => loadLz4().decompress(bytes), length)
  },
}

const DEFLATE: Compression = {
  name: 'deflate',
  id: 2,
  compress: (bytes) => zlib.deflateRawSync(bytes, { level: FASTEST }),
  decompress: (bytes, length) =>
    attempt(() => zlib.inflateRawSync(bytes, { maxOutputLength: length }), length),
}

const ZSTD: Compression = {
  name: 'zstd',
  id: 3,
  compress: (bytes) => zstd().zstdCompressSync(bytes, { params: { [zstdLevel()]: FASTEST } }),
  decompress: (bytes, length) =>
    attempt(() => zstd().zstdDecompressSync(bytes, { maxOutputLength: length }), length),
}

const KNOWN: readonly Compression[] = [LZ4, DEFLATE, ZSTD]

/** The compression of that name, `undefined` for none, ready to be used: what is missing later looks like damage; `UNSUPPORTED` where this Node, or what is installed, does not have it. */
export function compressionNamed(name: CompressionName): Compression | undefined {
  if (name === 'zstd') zstd()
  if (name === 'lz4') loadLz4()
  return KNOWN.find((one) => one.name === name)
}

/** The compression that a block carries; `undefined` where this version does not know it. */
export function compressionOf(id: number): Compression | undefined {
  return KNOWN.find((one) => one.id === id)
}

function attempt(decompress: () => Uint8Array, length: number): Uint8Array | undefined {
  try {
    const bytes = decompress()
    return bytes.length === length ? bytes : undefined
  } catch {
    return undefined
  }
}

function zstd(): Required<Zstd> {
  const { zstdCompressSync, zstdDecompressSync } = zlib as Zstd
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) {
    throw new KvarkError(
      'UNSUPPORTED',
      `The compression 'zstd' needs Node 22.15 or newer; this is ${process.version}. Use 'lz4' or 'deflate', or a newer Node.`,
      { found: process.version },
    )
  }
  return { zstdCompressSync, zstdDecompressSync }
}

function zstdLevel(): number {
  return (zlib.constants as Record<string, number>)['ZSTD_c_compressionLevel']!
}
