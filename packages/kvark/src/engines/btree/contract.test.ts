import { contractSuite } from '../../testing/contract-suite.ts'
import { btree } from './module.ts'

// Small pages and an early checkpoint, so that the short runs of the suite meet both all the time.
contractSuite({
  engine: btree,
  environments: ['node', 'memory'],
  options: { pageBytes: 4096, checkpointBytes: 4096 },
})
