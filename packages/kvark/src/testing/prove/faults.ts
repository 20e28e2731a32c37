/**
 * A failing disk: in a session every call in turn fails, with every error, once or from then on.
 *
 *   for n = 1, 2, …   session with call n failing ─► only `KvarkError`s ─► power loss ─► nothing acknowledged is lost, go on
 *                     until a session ends before its n-th call
 *
 * Calls that are only interrupted, or move a part, are no failures for the store: see `interrupted-calls.ts`.
 */

import type { FileCall } from '../../vfs/simulated.ts'
import { FAILED_SYNCS } from '../../vfs/simulated-disk.ts'
import type { FaultPlan } from '../crash/fault.ts'
import { failAt } from '../crash/faults.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import { INTERRUPTIONS, type Interruption, interruptCalls } from './interrupted-calls.ts'
import type { Portion, Row, Tally } from './row.ts'

const STEPS: readonly number[] = [0, 1, 2, 3, 4, 5]

type Kind = Omit<FaultPlan, 'nth' | 'forever'> & { readonly name: string }

const KINDS: readonly Kind[] = [
  { name: 'EIO', error: 'EIO' },
  { name: 'ENOSPC', error: 'ENOSPC', only: takesSpace },
  { name: 'EMFILE', error: 'EMFILE', only: opens },
  { name: 'half written, EIO', error: 'EIO', only: isWrite, halfWritten: true },
  { name: 'half written, ENOSPC', error: 'ENOSPC', only: isWrite, halfWritten: true },
]

const ALL_KINDS = KINDS.length + INTERRUPTIONS.length

const SYNC_KINDS: readonly Kind[] = FAILED_SYNCS.map((failedSync) => ({
  name: failedSync,
  error: 'EIO',
  only: isSync,
  failedSync,
}))

export const faults: Row = {
  name: 'faults',
  what: 'each call of a session fails, with each error, once and for ever',
  unit: 'failed calls',
  rule: 'typed error or success, nothing acknowledged lost; closing, resuming and opening again work',
  goal: 12_000,
  run: sweepAll,
  stepsOf: (portion) => (interruptionOf(portion) === undefined ? STEPS : []),
}

export const syncFailures: Row = {
  name: 'sync-failures',
  what: 'each sync fails; what was to be synced stays dirty, counts as clean, or is reverted',
  unit: 'failed syncs',
  rule: 'nothing is acknowledged that was not written again',
  goal: 1000,
  run: async (portion) => await sweep(portion, SYNC_KINDS),
  stepsOf: () => STEPS,
}

async function sweepAll(portion: Portion): Promise<Tally> {
  const { subject, seed } = portion
  const interruption = interruptionOf(portion)
  if (interruption === undefined) return await sweep(portion, KINDS)
  const all = Math.floor(seed / ALL_KINDS) % 2 === 1
  const done = await interruptCalls(subject, seed, interruption, all)
  return { done, more: { [`${interruption}, ${all ? 'every call' : 'once'}`]: done } }
}

/** What interrupts the calls of a portion on real files, if it is one of these. */
function interruptionOf({ seed }: Portion): Interruption | undefined {
  return INTERRUPTIONS[(seed % ALL_KINDS) - KINDS.length]
}

async function sweep(
  { subject, seed, steps = STEPS }: Portion,
  kinds: readonly Kind[],
): Promise<Tally> {
  const kind = kinds[seed % kinds.length]!
  const forever = Math.floor(seed / kinds.length) % 2 === 1
  const done = await sweepOne(subject, seed, kind, forever, steps)
  return { done, more: { [`${kind.name}, ${forever ? 'for ever' : 'once'}`]: done } }
}

async function sweepOne(
  subject: CrashSubject,
  seed: number,
  kind: Kind,
  forever: boolean,
  steps: readonly number[],
): Promise<number> {
  for (let nth = 1; ; nth++) {
    const injected = await failAt(subject, seed, { ...kind, nth, forever }, steps)
    if (!injected) return nth - 1
  }
}

function isWrite({ call }: FileCall): boolean {
  return call === 'write'
}

function isSync({ call }: FileCall): boolean {
  return call === 'sync' || call === 'syncFolder'
}

function opens({ call }: FileCall): boolean {
  return call === 'open' || call === 'list' || call === 'lock'
}

function takesSpace({ call, mode }: FileCall): boolean {
  return (
    ['write', 'truncate', 'rename', 'sync', 'syncFolder', 'makeFolder'].includes(call) ||
    mode === 'create'
  )
}
