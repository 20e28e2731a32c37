/** One call of the simulated files that fails, as an observer of a run sees it. */

import type { FileCall, SimulatedFiles } from '../../vfs/simulated.ts'

export interface Fault {
  /** The call that failed, once it has come. */
  readonly failed: FileCall | undefined
  /** The call and its path. */
  readonly what: string
}

/** The `nth` call from now on fails with `error`; `forever`: all later ones too. `counts`: which calls it is about. */
export function failCall(
  files: SimulatedFiles,
  nth: number,
  error: string,
  forever: boolean,
  counts: (call: FileCall) => boolean = () => true,
): Fault {
  let calls = 0
  let failed: FileCall | undefined
  files.failNext((call) => {
    if (!counts(call)) return undefined
    calls++
    if (calls < nth || (calls > nth && !forever)) return undefined
    failed ??= call
    return error
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
