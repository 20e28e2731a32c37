import { forms } from '../../testing/contract/forms.ts'
import { contractSuite } from '../../testing/contract-suite.ts'
import { log } from './module.ts'

/** Every part that can be replaced, once; each alone is in the proof. */
const FORMS = ['deflate', 'zstd', 'AES-256', 'xxh64, lz4 and AES-128']

// The files are the same everywhere: once on the machine's is covered by the plain store.
for (const form of forms.filter(({ name }) => FORMS.includes(name))) {
  contractSuite({
    engine: log,
    environments: ['memory'],
    options: { segmentBytes: 65_536, compactionThresholdBytes: 4096 },
    form,
  })
}
