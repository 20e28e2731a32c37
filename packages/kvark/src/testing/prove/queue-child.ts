/**
 * The process that is killed: opens a store in a real folder and uses a queue (`queue-use.ts`) without end.
 *
 *   node queue-child.js <engine> <option set> <folder> <file> <seed> <first item>
 *
 * On stdout it says when the store is open; in the file it tells what it does, a line each, which is with the operating system before
 * anything else happens.
 */

import { openSync, writeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { SeededRandom } from '../../bytes/random.ts'
import { openSubject, subjectNamed } from '../crash/subjects.ts'
import { useQueue } from './queue-use.ts'

const LEASE_MS = 20

const [engine, name, folder, file, seed, first] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]

// Ends with the parent, however that ends.
process.stdin.resume().on('end', () => process.exit())

const told = openSync(file, 'w')
const db = await openSubject(subjectNamed(engine, name), folder).async()
process.stdout.write('open\n')
await useQueue({
  db,
  random: new SeededRandom(Number(seed)),
  first: Number(first),
  end: Number.POSITIVE_INFINITY,
  leaseMs: LEASE_MS,
  tell: ([what, item]) => void writeSync(told, `${what} ${item}\n`),
  survives: (durability) => durability !== 'none',
  wait: async () => {
    await setTimeout(1)
  },
})
