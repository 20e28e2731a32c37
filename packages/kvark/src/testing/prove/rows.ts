/** All that is proved, in the order in which it is told. */

import { apiMisuse } from './api-misuse.ts'
import { byteCorruption } from './byte-corruption.ts'
import { codecInputs } from './codec-inputs.ts'
import { crashRecovery } from './crash-recovery.ts'
import { crashStates } from './crash-states.ts'
import { encryption } from './encryption.ts'
import { faults, syncFailures } from './faults.ts'
import { isolation } from './isolation.ts'
import { malformedFiles } from './malformed-files.ts'
import { modelAtOnce } from './model-at-once.ts'
import { modelOperations } from './model-operations.ts'
import { plantedBugsRow } from './planted-bugs.ts'
import { queueCrashes } from './queue-crashes.ts'
import { queueKills } from './queue-kills.ts'
import { realKills } from './real-kills.ts'
import type { Row } from './row.ts'
import { sectorFaults } from './sector-faults.ts'
import { soak } from './soak.ts'
import { tablesAtOnce } from './tables-at-once.ts'
import { twoProcesses } from './two-processes.ts'

export const rows: readonly Row[] = [
  crashStates,
  crashRecovery,
  faults,
  syncFailures,
  byteCorruption,
  sectorFaults,
  malformedFiles,
  codecInputs,
  apiMisuse,
  modelOperations,
  modelAtOnce,
  tablesAtOnce,
  queueCrashes,
  isolation,
  realKills,
  queueKills,
  twoProcesses,
  soak,
  encryption,
  plantedBugsRow,
]
