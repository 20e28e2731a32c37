/** All that is proved, in the order in which it is told. */

import { crashRecovery } from './crash-recovery.ts'
import { crashStates } from './crash-states.ts'
import { faults, syncFailures } from './faults.ts'
import { plantedBugsRow } from './planted-bugs.ts'
import type { Row } from './row.ts'

export const rows: readonly Row[] = [
  crashStates,
  crashRecovery,
  faults,
  syncFailures,
  plantedBugsRow,
]
