/** Kills by hand: `npm run test:kill -- --times 1000 --seed 7 --engine log --options log`. */

import { parseArgs } from 'node:util'
import { killMany, shown } from './kill.ts'
import { subjectNamed } from './subjects.ts'

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'log' },
    /** The name of an option set; the engine's own name: the one of its tests. */
    options: { type: 'string' },
    times: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
  },
})

const subject = subjectNamed(values.engine, values.options ?? values.engine)
const counts = await killMany(subject, Number(values.times), Number(values.seed))
process.stdout.write(`${shown(counts)}\n`)
