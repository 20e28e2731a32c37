/** Kills by hand: `npm run test:kill -- --times 1000 --seed 7 --engine log`. */

import { parseArgs } from 'node:util'
import { killMany, shown } from './kill.ts'
import { type CrashSubject, subjects } from './subjects.ts'

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'log' },
    times: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
  },
})

const { [values.engine]: subject } = subjects as Readonly<Record<string, CrashSubject | undefined>>
if (subject === undefined) throw new Error(`there is no engine '${values.engine}'`)
const counts = await killMany(subject, Number(values.times), Number(values.seed))
process.stdout.write(`${shown(counts)}\n`)
