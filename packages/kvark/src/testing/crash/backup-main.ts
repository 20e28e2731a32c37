/** Backups under load, by hand: `npm run test:backup -- --seconds 60 --seed 7 --engine log`. */

import { parseArgs } from 'node:util'
import { backupUnderLoad, shownBackups } from './backup-load.ts'

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'log' },
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
  },
})

const { engine } = values
const counts = await backupUnderLoad({
  engine,
  seconds: Number(values.seconds),
  seed: Number(values.seed),
})
process.stdout.write(`${shownBackups(counts)}\n`)
