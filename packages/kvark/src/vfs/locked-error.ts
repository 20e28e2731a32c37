/** `LOCKED`: somebody else holds the lock of a store. */

import { KvarkError } from '../errors.ts'

/** `pid`: the holder, where it is known. */
export function lockedError(path: string, pid: number | undefined): KvarkError {
  const own = pid === process.pid
  const holder = own ? 'this process' : pid === undefined ? 'another process' : `process ${pid}`
  const todo = own
    ? 'Use the store that is open already, or close it first.'
    : `Close the store there or end that process${pid === undefined ? '' : ` (kill ${pid})`}, or wait for it with lockTimeoutMs.`
  return new KvarkError(
    'LOCKED',
    `${path} is locked by ${holder}: a store has one writer at a time. ${todo}`,
    {
      path,
      ...(pid === undefined ? undefined : { pid }),
      retryable: true,
    },
  )
}
