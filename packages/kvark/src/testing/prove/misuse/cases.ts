/**
 * Every verb with what it should not be given, when it should not be called, and from where it should not be called: one table,
 * made from a few.
 *
 *   verb × wrong argument ─┐
 *   verb × closed ─────────┼──► a case: its name, the stores it uses, and what must come of it
 *   place × verb ──────────┘
 */

import { wrongKeys, wrongOptions, wrongShapes, wrongValues } from './arguments.ts'
import type { Misuse } from './case.ts'
import { closed } from './closed.ts'
import { layerMisuses } from './layer.ts'
import { opening } from './opening.ts'
import { reentrancy } from './within.ts'

/** All of them, in an order that stays. */
export const misuses: readonly Misuse[] = [
  ...wrongKeys(),
  ...wrongValues(),
  ...wrongOptions(),
  ...wrongShapes(),
  ...closed(),
  ...reentrancy(),
  ...opening(),
  ...layerMisuses(),
]
