import { contractSuite } from '../../testing/contract-suite.ts'
import { log } from './module.ts'

// Small segments and an early compaction, so that the short runs of the suite meet both all the time.
contractSuite({
  engine: log,
  environments: ['node', 'memory'],
  options: { segmentBytes: 65_536, compactionThresholdBytes: 4096 },
})
