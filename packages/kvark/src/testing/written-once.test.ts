/**
 * One encrypted store through a thousand power failures, rollbacks and copies that are all written on.
 *
 *   disks ─► one of them, perhaps an old one ─► open, write, compact ─► close or power failure ─► one more disk
 *
 * Every encryption of the run is recorded: key, nonce, and what the ciphertext is bound to.
 */

import assert from 'node:assert/strict'
import { createHash, type KeyObject } from 'node:crypto'
import { after, before, test } from 'node:test'
import { parseArgs } from 'node:util'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { NONCE_BYTES, StoreCipher } from '../storage/cipher.ts'
import { openSync } from '../store/open.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { contentOf, type DamagedStore, environmentWith, openAt } from './damage.ts'

const { rounds } = parseArgs({ options: { rounds: { type: 'string' } }, strict: false }).values
/** More with `--rounds`. */
const ROUNDS = typeof rounds === 'string' ? Number(rounds) : 1000
const DISKS = 12

const key = new Uint8Array(32).map((_, i) => i * 11)

const OPTIONS = {
  engine: 'log',
  compression: 'none',
  encryption: { key },
  cacheBytes: 1024 * 1024,
  segmentBytes: 32_768,
  compactionThresholdBytes: 16_384,
} as const

type Encrypt = (this: StoreCipher, ...args: Parameters<StoreCipher['encrypt']>) => void

/** Everything encrypted so far: key and nonce, key and place. */
const nonces = new Set<string>()
const places = new Set<string>()
let encryptions = 0
let blocks = 0
const { encrypt: original } = StoreCipher.prototype as { encrypt: Encrypt }

before(() => {
  StoreCipher.prototype.encrypt = function encrypt(
    key,
    source,
    from,
    length,
    target,
    to,
    envelope,
    place,
  ) {
    original.call(this, key, source, from, length, target, to, envelope, place)
    record(key, target.subarray(envelope, envelope + NONCE_BYTES), place)
  }
})

after(() => {
  StoreCipher.prototype.encrypt = original
})

function record(key: KeyObject, nonce: Uint8Array, place: Uint8Array): void {
  const id = key.export().toString('latin1')
  encryptions++
  nonces.add(`${id} ${Buffer.from(nonce).toString('latin1')}`)
  // A block's place begins with life and address; what else is sealed is bound to a name or a shard.
  if (place.length !== 22) return
  blocks++
  places.add(`${id} ${Buffer.from(place.subarray(0, 10)).toString('latin1')}`)
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

function open(files: SimulatedFiles, seed: string): DamagedStore {
  const environment = { ...simulatedEnvironment({ seed: 1, files }), random: randomBytes(seed) }
  return openSync('/store', { ...OPTIONS, environment })
}

/** The disk with a new store. */
function made(seed: number): SimulatedFiles {
  const files = new SimulatedFiles()
  open(files, `${seed}`).closeSync()
  return files.afterCrash()
}

function run(seed: number): void {
  const random = new SeededRandom(seed)
  const disks = [made(seed)]
  for (let round = 0; round < ROUNDS; round++) {
    // Mostly the newest, else an old one, which is a rollback and a copy in one.
    const newest = disks[disks.length - 1]!
    const disk = random.chance(0.6) ? newest : random.pick(disks)
    const files = disk.afterCrash()
    const db = open(files, `${seed} ${round}`)
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

test(`${ROUNDS} crashes, rollbacks and copies: no nonce comes twice with a key, and no place is written twice`, (t) => {
  run(1)
  t.diagnostic(`${encryptions} encryptions, ${blocks} blocks`)
  assert.ok(encryptions > ROUNDS && blocks > ROUNDS)
  assert.equal(nonces.size, encryptions)
  assert.equal(places.size, blocks)
})

test('the file of a streamed value', async () => {
  const value = Buffer.alloc(3 * 1024 * 1024, 'streamed ')
  let files = new SimulatedFiles()
  for (let round = 0; round < 3; round++) {
    const db = open(files, `streamed ${round}`)
    const before = blocks
    await db.putStream(`key ${round}`, [value])
    db.putSync('behind', 'in the same segment')
    await assert.rejects(db.putStream('key', [value, 'wrong' as unknown as Uint8Array]))
    await db.compact()
    assert.ok(blocks - before > value.length / 16_384)
    files = files.crash()
    await db.close().catch(() => {})
  }
  assert.equal(nonces.size, encryptions)
  assert.equal(places.size, blocks)
})

test('a store that is opened for every write does not grow a file each time for ever', () => {
  const environment = environmentWith(new Map())
  for (let i = 0; i < 150; i++) {
    const db = openAt(environment, { encryption: { key } })
    db.putSync(`${i}`, `value ${i}`)
    db.closeSync()
  }
  assert.ok(contentOf(environment).size < 45, `${contentOf(environment).size} files`)
  const db = openAt(environment, { encryption: { key } })
  for (let i = 0; i < 150; i++) assert.equal(db.getSync(`${i}`), `value ${i}`)
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()
})
