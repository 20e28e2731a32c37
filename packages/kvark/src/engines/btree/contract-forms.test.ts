import { forms } from '../../testing/contract/forms.ts'
import { contractSuite } from '../../testing/contract-suite.ts'
import { btree } from './module.ts'

/** Which forms, with which pages. The others are in the tests of power loss and failing disks, and all of them in the proof. */
const PAGES: Readonly<Record<string, number>> = {
  lz4: 16_384,
  'AES-256': 65_536,
  'xxh64, lz4 and AES-128': 4096,
}

// The files are the same everywhere: once on the machine's is covered by the plain store.
for (const [name, pageBytes] of Object.entries(PAGES)) {
  contractSuite({
    engine: btree,
    environments: ['memory'],
    options: { pageBytes, checkpointBytes: 4096 },
    form: forms.find((form) => form.name === name)!,
  })
}
