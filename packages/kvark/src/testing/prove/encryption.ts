/**
 * What encryption promises, tried on stores of every cipher and compression:
 *
 *   rollbacks    crashes, old copies written on, copies: no nonce meets a key twice, no place is written twice
 *   tampering    a byte of any file changed, also with its checksum made right: noticed, never a wrong value
 *   wrong keys   `BAD_ENCRYPTION_KEY`, and nothing is written
 *   equal text   the same key and value, written often: no 16 bytes of what is stored come twice
 *
 * What tampering is noticed by, and what is exempt: see `trial.ts`.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import { KvarkError } from '../../errors.ts'
import { contentOf, type DamagedForm, differences, openAt, write } from '../damage.ts'
import { EncryptionLog, rollbacks } from '../rollbacks.ts'
import { changed } from '../tampering.ts'
import { anatomyOf } from './anatomies.ts'
import type { Portion, Row, Tally } from './row.ts'
import {
  formOf,
  isEncrypted,
  knownStore,
  namesOf,
  type SmallStore,
  stillEnvironment,
} from './small-store.ts'
import { assertSound, unnoticed } from './trial.ts'

const ROUNDS = 40
const TAMPERINGS = 40
const WRONG_KEYS = 10
const EQUAL_VALUES = 20
/** The length of a block of AES: nothing shorter shows that two texts are the same. */
const RUN_BYTES = 16

function tamper(store: SmallStore, random: SeededRandom, seed: number, hint: string): void {
  const { content, form } = store
  // Every kind of file as often as another, though the stored index is the largest.
  const name = random.pick(namesOf(content))
  const original = content.get(name)!
  for (;;) {
    const at = random.below(original.length)
    const bytes = Buffer.from(original)
    bytes[at]! ^= random.chance(0.5) ? 1 << random.below(8) : random.below(255) + 1
    const repaired = random.chance(0.6)
    if (repaired) anatomyOf(form).repair(store, name, bytes, at)
    // Where the checksum itself was changed and made right again.
    if (bytes.equals(original)) continue
    const what = `${name}, byte ${at}${repaired ? ', checksum made right' : ''}`
    unnoticed(store, changed(content, name, bytes), `${hint}: ${what}`, seed)
    return
  }
}

function tryWrongKey({ content, form }: SmallStore, random: SeededRandom, seed: number): void {
  const { key } = form.encryption as { key: Uint8Array }
  const wrong = Uint8Array.from(key)
  wrong[random.below(key.length)]! ^= 1 << random.below(8)
  const keys = [wrong, random.bytes(key.length), random.bytes(16 + random.below(40))]
  const { cipher } = form.encryption!
  const chosen = { key: random.pick(keys), ...(cipher && { cipher }) }
  const other: DamagedForm = { ...form, encryption: chosen }
  const environment = stillEnvironment(content, seed)
  write(environment, 'LOCK', Buffer.alloc(0))
  const before = contentOf(environment)
  let code = 'it opens'
  try {
    openAt(environment, other).closeSync()
  } catch (error) {
    if (!(error instanceof KvarkError)) throw error
    code = error.code
  }
  assert.equal(code, 'BAD_ENCRYPTION_KEY', 'a wrong key')
  assert.deepEqual(differences(contentOf(environment), before), [], 'a wrong key writes nothing')
}

function writeEqual(form: DamagedForm, random: SeededRandom): void {
  const environment = stillEnvironment(new Map(), random.uint32())
  const value = 'the same value, long enough for some blocks of the cipher '.repeat(
    1 + random.below(9),
  )
  for (let round = 0; round < 2; round++) {
    const db = openAt(environment, form)
    for (let i = 0; i < EQUAL_VALUES / 2; i++) db.putSync('the key', value, { durability: 'os' })
    db.closeSync()
  }
  const runs = new Set<string>()
  let found = 0
  for (const [name, bytes] of contentOf(environment)) {
    for (const { from, to } of anatomyOf(form).payloads(name, bytes, form)) {
      for (let run = from; run + RUN_BYTES <= to; run++) {
        runs.add(bytes.toString('latin1', run, run + RUN_BYTES))
        found++
      }
    }
  }
  assert.ok(found > EQUAL_VALUES)
  assert.equal(runs.size, found, 'equal values give equal ciphertext')
}

async function run({ subjects, seed }: Portion): Promise<Tally> {
  const encrypted = subjects.filter((one) => isEncrypted(formOf(one)))
  const subject = encrypted[(seed - 1) % encrypted.length]!
  const form = formOf(subject)
  const random = new SeededRandom(seed)
  const hint = `${subject.name} (seed ${seed})`
  const log = new EncryptionLog(form.pageBytes)
  log.begin()
  try {
    rollbacks(form, seed, ROUNDS)
  } finally {
    log.end()
  }
  log.assertUnique()
  const store = knownStore(subject, { compacted: true, spread: false })
  assertSound(store, seed)
  for (let i = 0; i < TAMPERINGS; i++) tamper(store, random, seed, hint)
  for (let i = 0; i < WRONG_KEYS; i++) tryWrongKey(store, random, seed)
  writeEqual(form, random)
  const more = {
    'crashes, rollbacks and copies': ROUNDS,
    'encryptions, no nonce twice': log.encryptions,
    'bytes tampered with': TAMPERINGS,
    'wrong keys': WRONG_KEYS,
    'equal values': EQUAL_VALUES,
  }
  const done = ROUNDS + TAMPERINGS + WRONG_KEYS + EQUAL_VALUES
  return { done, options: subject.name, more }
}

export const encryption: Row = {
  name: 'encryption',
  what: 'encrypted stores through crashes, rollbacks and copies; tampered with; opened with wrong keys; given equal values',
  unit: 'cases',
  rule: 'no nonce twice with a key; tampering is noticed and gives no wrong value; a wrong key is told; equal values look different',
  goal: 2000,
  run,
}
