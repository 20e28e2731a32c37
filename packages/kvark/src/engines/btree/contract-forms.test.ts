import type { SubjectForm } from '../../testing/contract/place.ts'
import { contractSuite } from '../../testing/contract-suite.ts'
import { btree } from './module.ts'

const key = new Uint8Array(32).map((_, i) => i * 7)

const forms: readonly SubjectForm[] = [
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

// The files are the same everywhere: once on the machine's is covered by the plain store.
for (const form of forms) {
  contractSuite({
    engine: btree,
    environments: ['memory'],
    options: { pageBytes: 4096, checkpointBytes: 4096 },
    form,
  })
}
