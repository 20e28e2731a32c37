/**
 * The process that is killed: opens a store in a real folder and writes without end, telling each write before it begins
 * and again when its promise has resolved.
 *
 *   node kill-child.js <engine> <option set> <folder> <file> <seed>
 *
 *   on stdout      o   is about to open          r      the store is open
 *   in the file    s<n>   write n begins         a<n>   write n is acknowledged
 *
 * A line is with the operating system before anything else happens, so it survives the child; a pipe would be full at times.
 */

import { openSync, writeSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { KILL_MIX, killWrites } from './kill-writes.ts'
import { openSubject, subjectNamed } from './subjects.ts'
import { carryOut } from './workload.ts'

/** So many writes wait at the same time, at most. */
const WAITING = 16

const [engine, name, folder, file, seed] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]

// Ends with the parent, however that ends.
process.stdin.resume().on('end', () => process.exit())

const told = openSync(file, 'w')
process.stdout.write('o\n')
const db = await openSubject(subjectNamed(engine, name), folder).async()
process.stdout.write('r\n')

let waiting = 0
let free: (() => void) | undefined
for (const write of killWrites(Number(seed), KILL_MIX)) {
  tell(`s${write.number}`)
  const promise = carryOut(db, write)
  if (write.sync) acknowledged(write.number)
  else {
    waiting++
    void (promise as Promise<unknown>).then(() => {
      acknowledged(write.number)
      waiting--
      free?.()
    })
  }
  if (waiting >= WAITING) {
    await new Promise<void>((resolve) => {
      free = resolve
    })
  } else if (write.number % WAITING === 0) await setImmediate()
}

function acknowledged(number: number): void {
  tell(`a${number}`)
}

function tell(line: string): void {
  writeSync(told, `${line}\n`)
}
