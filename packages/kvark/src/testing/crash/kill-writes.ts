/** What a process that is going to be killed writes: known to it and to its parent from the seed alone. */

import { SeededRandom } from '../../bytes/random.ts'
import { type Mix, type RandomWrite, randomWrite } from './workload.ts'

export const KILL_MIX: Mix = {
  keys: 300,
  clears: 0.0005,
  sync: 0.2,
  durabilities: ['none', 'none', 'none', 'os', 'os', 'os', 'disk'],
}

export interface NumberedWrite extends RandomWrite {
  readonly number: number
}

/** Without end, from write 1 on. */
export function* killWrites(seed: number, mix: Mix): Generator<NumberedWrite> {
  const random = new SeededRandom(seed)
  for (let number = 1; ; number++) {
    yield { number, ...randomWrite(random, `${seed}.${number}`, mix) }
  }
}
