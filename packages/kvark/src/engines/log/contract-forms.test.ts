import { forms } from '../../testing/contract/forms.ts'
import { contractSuite } from '../../testing/contract-suite.ts'
import { log } from './module.ts'

// The files are the same everywhere: once on the machine's is covered by the plain store.
for (const form of forms) {
  contractSuite({
    engine: log,
    environments: ['memory'],
    options: { segmentBytes: 65_536, compactionThresholdBytes: 4096 },
    form,
  })
}
