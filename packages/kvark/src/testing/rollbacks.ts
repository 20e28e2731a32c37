/**
 * One encrypted store through power failures, rollbacks and copies that are all written on.
 *
 *   disks ─► one of them, perhaps an old one ─► open, write, compact ─► close or power failure ─► one more disk
 *
 * Every encryption is recorded: key, nonce, and what the ciphertext is bound to.
 */

import assert from 'node:assert/strict'
import { createHash, type KeyObject } from 'node:crypto'
import { SeededRandom } from '../bytes/random.ts'
import { readU16 } from '../bytes/varint.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { NONCE_BYTES, StoreCipher } from '../storage/cipher.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { type DamagedForm, type DamagedStore, openAt } from './damage.ts'

const DISKS = 12
/** A block is bound to life and address, in the first bytes of so many, and to its header, with the length of the payload. */
const PLACE_BYTES = 22
const LENGTH_AT = 14
const HEADER_BYTES = 44

type Encrypt = (this: StoreCipher, ...args: Parameters<StoreCipher['encrypt']>) => void

/** Everything that was encrypted between `begin` and `end`. */
export class EncryptionLog {
  /** Key and nonce, key and place. */
  readonly nonces: Set<string> = new Set()
  readonly places: Set<string> = new Set()
  encryptions = 0
  blocks = 0
  readonly #pageBytes: number | undefined
  readonly #encrypt = (StoreCipher.prototype as { encrypt: Encrypt }).encrypt

  /** `pageBytes`: blocks of that size are pages of a tree, which are written over; all others have a place for themselves. */
  constructor(pageBytes?: number) {
    this.#pageBytes = pageBytes
  }

  begin(): void {
    const record = this.#record.bind(this)
    const encrypt = this.#encrypt
    StoreCipher.prototype.encrypt = function recorded(...args) {
      encrypt.apply(this, args)
      const [key, , , , target, , envelope, place] = args
      record(key, target.subarray(envelope, envelope + NONCE_BYTES), place)
    }
  }

  end(): void {
    StoreCipher.prototype.encrypt = this.#encrypt
  }

  /** No nonce came twice with a key, and no place was written twice. */
  assertUnique(): void {
    assert.equal(this.nonces.size, this.encryptions, 'a nonce came twice with a key')
    assert.equal(this.places.size, this.blocks, 'a place was written twice')
  }

  #record(key: KeyObject, nonce: Uint8Array, place: Uint8Array): void {
    const id = key.export().toString('latin1')
    this.encryptions++
    this.nonces.add(`${id} ${Buffer.from(nonce).toString('latin1')}`)
    // What else is sealed is bound to a name or a shard.
    if (place.length !== PLACE_BYTES) return
    if (HEADER_BYTES + readU16(place, LENGTH_AT) === this.#pageBytes) return
    this.blocks++
    this.places.add(`${id} ${Buffer.from(place.subarray(0, 10)).toString('latin1')}`)
  }
}

/** Random bytes from a seed that do not repeat, as those of the machine do not. */
function randomBytes(seed: string): (length: number) => Uint8Array {
  let count = 0
  return (length) => {
    const bytes = Buffer.alloc(length)
    for (let at = 0; at < length; at += 32) {
      createHash('sha256').update(`${seed} ${count++}`).digest().copy(bytes, at)
    }
    return bytes
  }
}

/** Opens the store on a disk; `seed` is one of its own each time. */
export function openOn(files: SimulatedFiles, form: DamagedForm, seed: string): DamagedStore {
  return openAt({ ...simulatedEnvironment({ seed: 1, files }), random: randomBytes(seed) }, form)
}

export function rollbacks(form: DamagedForm, seed: number, rounds: number): void {
  const random = new SeededRandom(seed)
  const first = new SimulatedFiles()
  openOn(first, form, `${seed}`).closeSync()
  const disks = [first.afterCrash()]
  for (let round = 0; round < rounds; round++) {
    // Mostly the newest, else an old one, which is a rollback and a copy in one.
    const newest = disks[disks.length - 1]!
    const disk = random.chance(0.6) ? newest : random.pick(disks)
    const files = disk.afterCrash()
    const db = openOn(files, form, `${seed} ${round}`)
    for (let i = random.below(6) + 1; i > 0; i--) {
      const durability = random.pick(['none', 'os', 'disk'] as const)
      db.putSync(`key ${random.below(20)}`, 'the same value '.repeat(random.below(30)), {
        durability,
      })
    }
    if (random.chance(0.05)) db.compactSync()
    const mode = random.pick(['drop', 'prefix', 'subset'] as const)
    if (random.chance(0.2)) {
      db.closeSync()
      disks.push(files.afterCrash())
    } else {
      disks.push(files.crash({ mode, random }))
      assert.throws(() => db.closeSync())
    }
    if (disks.length > DISKS) disks.splice(random.below(DISKS), 1)
  }
}
