/** Digests that nobody makes two of: SHA-256 (FIPS 180-4). */

import { createHash } from 'node:crypto'

export const SHA256_BYTES = 32

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
