/** What the rows know of each engine's files. An engine joins by one line here. */

import type { DamagedEngine, DamagedForm } from '../damage.ts'
import type { Anatomy } from './anatomy.ts'
import { btreeAnatomy } from './btree/anatomy.ts'
import { logAnatomy } from './log/anatomy.ts'

const anatomies: Readonly<Record<DamagedEngine, Anatomy>> = {
  log: logAnatomy,
  btree: btreeAnatomy,
}

export function anatomyOf({ engine = 'log' }: DamagedForm): Anatomy {
  return anatomies[engine]
}
