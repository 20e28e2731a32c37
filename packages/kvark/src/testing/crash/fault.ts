/** One call of the simulated files that fails, as an observer of a run sees it. */

import type { FileCall, SimulatedFiles } from '../../vfs/simulated.ts'
import type { FailedSync } from '../../vfs/simulated-disk.ts'

export interface FaultPlan {
  /** The how many-th call fails, of those that `only` lets through. */
  readonly nth: number
  readonly error: string
  /** All later ones, too. */
  readonly forever: boolean
  /** Default: any. */
  readonly only?: (call: FileCall) => boolean
  /** Writes fail half-way. */
  readonly halfWritten?: boolean
  readonly failedSync?: FailedSync
}

export interface Fault {
  /** The call that failed, once it has come. */
  readonly failed: FileCall | undefined
  /** The call and its path. */
  readonly what: string
}

/** The `nth` call from now on fails. */
export function failCall(files: SimulatedFiles, plan: FaultPlan): Fault {
  const { nth, error, forever, only, halfWritten = false } = plan
  let calls = 0
  let failed: FileCall | undefined
  files.failNext((call) => {
    if (only !== undefined && !only(call)) return undefined
    calls++
    if (calls < nth || (calls > nth && !forever)) return undefined
    failed ??= call
    return halfWritten ? { error, written: Math.floor((call.length ?? 0) / 2) } : error
  })
  return {
    get failed() {
      return failed
    },
    get what() {
      return failed === undefined ? 'none' : `${failed.call} ${failed.path}`
    },
  }
}
