/** The forms in which a store has its data in files, beside the plain one: the contract holds in each. */

import type { SubjectForm } from './place.ts'

const key = new Uint8Array(32).map((_, i) => i * 7)

export const forms: readonly SubjectForm[] = [
  { name: 'xxh64', checksum: 'xxh64' },
  { name: 'lz4', compression: 'lz4' },
  { name: 'deflate', compression: 'deflate' },
  { name: 'zstd', compression: 'zstd' },
  { name: 'AES-256', encryption: { key, cipher: 'aes-256-gcm' } },
  {
    name: 'xxh64, lz4 and AES-128',
    checksum: 'xxh64',
    compression: 'lz4',
    encryption: { key, cipher: 'aes-128-gcm' },
  },
]
