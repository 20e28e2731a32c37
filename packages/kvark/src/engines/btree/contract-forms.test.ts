import { forms } from '../../testing/contract/forms.ts'
import { contractSuite } from '../../testing/contract-suite.ts'
import { btree } from './module.ts'

// The files are the same everywhere: once on the machine's is covered by the plain store.
for (const form of forms) {
  contractSuite({
    engine: btree,
    environments: ['memory'],
    options: { pageBytes: 4096, checkpointBytes: 4096 },
    form,
  })
}
