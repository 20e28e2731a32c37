/**
 * `kvark/testing`: what kvark is tested with, for tests of your own. A disk that forgets what was not synced and fails where you want
 * it to, crash and fault tests for programs, and, for those who write an engine, its contract as a test suite.
 */

export { SeededRandom } from '../bytes/random.ts'
export type { Environment } from '../environment/environment.ts'
export { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
export {
  type CrashOptions,
  type Fault,
  type FaultRule,
  type FileCall,
  type HalfWritten,
  SimulatedFiles,
} from '../vfs/simulated.ts'
export {
  CRASH_MODES,
  type CrashMode,
  FAILED_SYNCS,
  type FailedSync,
} from '../vfs/simulated-disk.ts'
export type { EnvironmentName, Subject, SubjectForm } from './contract/place.ts'
export { contractSuite } from './contract-suite.ts'
export { type Change, type Content, History } from './crash/history.ts'
export { type SlowProcess, slowProcess } from './crash/slow-files.ts'
export {
  type CheckContext,
  type CrashExploration,
  type CrashReport,
  exploreCrashes,
  exploreFaults,
  type FaultExploration,
  type FaultReport,
  type ProgramContext,
} from './explore.ts'
export { referenceModule } from './reference-engine.ts'
