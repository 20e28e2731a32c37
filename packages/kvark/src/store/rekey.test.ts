import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { runSync } from '../environment/routine.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { readDescriptor, writeDescriptor } from '../storage/descriptor.ts'
import { oneOf } from '../testing/crash/seeds.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { openSync } from './open.ts'
import type { Encryption } from './options.ts'
import { rekey, rekeySync } from './rekey.ts'

const PATH = '/store'
const OLD: Encryption = { key: Buffer.alloc(32, 1) }
const NEW: Encryption = { key: Buffer.alloc(16, 2) }
const PHRASE: Encryption = { passphrase: 'correct horse' }

function newStore(environment: Environment, encryption?: Encryption): void {
  const secret = encryption === undefined ? {} : { encryption }
  const db = openSync(PATH, { environment, ...secret })
  db.putSync('a', 'kept')
  db.closeSync()
}

function refusal(act: () => unknown): KvarkError {
  try {
    act()
  } catch (error) {
    if (error instanceof KvarkError) return error
    throw error
  }
  assert.fail('nothing was refused')
}

/** Whether the secret opens the store, and all is there. */
function opens(environment: Environment, encryption: Encryption): boolean {
  try {
    const db = openSync(PATH, { environment, encryption, create: false })
    assert.equal(db.getSync('a'), 'kept')
    assert.deepEqual(db.verifySync().problems, [])
    db.closeSync()
    return true
  } catch (error) {
    if (!(error instanceof KvarkError)) throw error
    assert.equal(error.code, 'BAD_ENCRYPTION_KEY', error.message)
    return false
  }
}

test('the new secret opens the store, the old one does not', async () => {
  const environment = nodeEnvironment(memoryFiles())
  newStore(environment, { ...OLD, cipher: 'aes-128-gcm' })
  rekeySync(PATH, { encryption: OLD, to: NEW, environment })
  assert.deepEqual([opens(environment, OLD), opens(environment, NEW)], [false, true])
  await rekey(PATH, { encryption: NEW, to: PHRASE, environment })
  assert.deepEqual([opens(environment, NEW), opens(environment, PHRASE)], [false, true])
  rekeySync(PATH, { encryption: PHRASE, to: { ...OLD, cipher: 'aes-128-gcm' }, environment })
  assert.deepEqual([opens(environment, PHRASE), opens(environment, OLD)], [false, true])
  assert.ok(
    !environment.files
      .list(PATH)
      .sync()
      .some((name) => name.endsWith('.tmp')),
  )
})

test('an old copy of the descriptor is refused, with either secret', () => {
  const environment = nodeEnvironment(memoryFiles())
  newStore(environment, OLD)
  const path = `${PATH}/KVARK`
  const handle = environment.files.open(path, 'write').sync()
  const old = Buffer.alloc(handle.size().sync())
  handle.read(old, 0, old.length, 0).sync()
  rekeySync(PATH, { encryption: OLD, to: { key: Buffer.alloc(32, 2) }, environment })
  assert.ok(opens(environment, { key: Buffer.alloc(32, 2) }))
  const now = environment.files.open(path, 'write').sync()
  now.truncate(0).sync()
  now.write(old, 0, old.length, 0).sync()
  const error = refusal(() => openSync(PATH, { environment, encryption: OLD }))
  assert.equal(error.code, 'CORRUPTION')
  assert.match(error.message, /KVARK: the descriptor is an older copy/)
  assert.equal(opens(environment, { key: Buffer.alloc(32, 2) }), false)
})

test('what was written before and after is read', () => {
  const environment = nodeEnvironment(memoryFiles())
  const compression = 'lz4'
  const first = openSync(PATH, { environment, encryption: OLD, compression })
  first.putSync('a', 'x'.repeat(10_000))
  first.closeSync()
  rekeySync(PATH, { encryption: OLD, to: NEW, environment })
  const second = openSync(PATH, { environment, encryption: NEW, compression })
  second.putSync('b', 'y')
  second.compactSync()
  second.closeSync()
  const third = openSync(PATH, { environment, encryption: NEW })
  assert.deepEqual([third.getSync('a')?.length, third.getSync('b')], [10_000, 'y'])
  third.closeSync()
})

test('what cannot be done is refused, and the old secret still opens the store', async () => {
  const environment = nodeEnvironment(memoryFiles())
  const attempt = (options: object, path: string = PATH): KvarkError =>
    refusal(() => rekeySync(path, { encryption: OLD, to: NEW, environment, ...options }))
  assert.equal(attempt({}).code, 'NOT_FOUND')
  newStore(environment, OLD)
  assert.equal(attempt({}, '/nowhere').code, 'NOT_FOUND')
  assert.equal(attempt({ encryption: NEW }).code, 'BAD_ENCRYPTION_KEY')
  assert.match(attempt({ encryption: PHRASE }).message, /with a key, not with a passphrase/)
  const cipher = attempt({ to: { ...NEW, cipher: 'aes-128-gcm' } })
  assert.equal(cipher.code, 'INVALID_ARGUMENT')
  assert.match(cipher.message, /'aes-256-gcm', and rekey cannot change that to 'aes-128-gcm'\./)
  assert.equal(attempt({ encryption: { ...OLD, cipher: 'aes-128-gcm' } }).code, 'MISMATCH')
  const wrong: readonly [options: object, sentence: RegExp][] = [
    [{ to: undefined }, /needs the option 'to'/],
    [{ encryption: undefined }, /needs the option 'encryption'/],
    [{ to: { key: Buffer.alloc(15) } }, /at least 16 bytes/],
    [{ to: { passphrase: '' } }, /not empty/],
    [{ to: 'secret words' }, /'to' must be an object/],
    [{ new: NEW }, /no option 'new'/],
  ]
  for (const [options, sentence] of wrong) {
    const error = attempt(options)
    assert.equal(error.code, 'INVALID_ARGUMENT')
    assert.match(error.message, sentence)
    assert.doesNotMatch(error.message, /secret words/)
  }
  const misused = refusal(() => rekeySync(PATH, 'secret words' as unknown as never))
  assert.equal(misused.code, 'INVALID_ARGUMENT')
  assert.doesNotMatch(misused.message, /secret words/)
  const db = openSync(PATH, { environment, encryption: OLD })
  assert.equal(attempt({}).code, 'LOCKED')
  await assert.rejects(rekey(PATH, { encryption: OLD, to: NEW, environment }), { code: 'LOCKED' })
  db.closeSync()
  assert.ok(opens(environment, OLD))
})

test('a store that is not encrypted is MISMATCH', () => {
  const environment = nodeEnvironment(memoryFiles())
  newStore(environment)
  const error = refusal(() => rekeySync(PATH, { encryption: OLD, to: NEW, environment }))
  assert.equal(error.code, 'MISMATCH')
  assert.match(error.message, /is not encrypted/)
  openSync(PATH, { environment }).closeSync()
})

test('a descriptor that somebody changed without the key gets no new proof', () => {
  const environment = nodeEnvironment(memoryFiles())
  newStore(environment, OLD)
  const descriptor = runSync(readDescriptor(environment, PATH))!
  runSync(writeDescriptor(environment, PATH, { ...descriptor, hashSeed: 7 }, undefined))
  const error = refusal(() => rekeySync(PATH, { encryption: OLD, to: NEW, environment }))
  assert.equal(error.code, 'CORRUPTION')
  assert.equal(
    refusal(() => openSync(PATH, { environment, encryption: OLD })).code,
    'CORRUPTION',
    'the lock was released',
  )
})

test('whenever a crash comes, exactly one of the two secrets opens the store', async () => {
  const disk = new SimulatedFiles()
  newStore(simulatedEnvironment({ seed: 1, files: disk }), OLD)
  const found = { old: 0, new: 0 }
  let finished = false
  for (let step = 1; !finished; step++) {
    for (const mode of ['drop', 'prefix', 'subset'] as const) {
      for (let seed = 0; seed < (mode === 'drop' ? 1 : 4 / oneOf(2)); seed++) {
        const files = disk.afterCrash()
        let calls = 0
        // The machine stops at this call and makes no other.
        files.failNext(() => (++calls >= step ? 'EIO' : undefined))
        const environment = simulatedEnvironment({ seed, files })
        const options = { encryption: OLD, to: NEW, environment }
        try {
          if (seed % 2 === 0) rekeySync(PATH, options)
          else await rekey(PATH, options)
          finished = true
        } catch (error) {
          assert.ok(error instanceof KvarkError)
          assert.equal(error.code, 'IO', error.message)
        }
        const after = files.crash({ mode, random: new SeededRandom(seed) })
        const later = simulatedEnvironment({ seed: 2, files: after })
        const [byOld, byNew] = [opens(later, OLD), opens(later, NEW)]
        assert.notEqual(byOld, byNew, `${mode}, seed ${seed}, stopped at call ${step}`)
        if (finished) assert.ok(byNew, 'what was done is durable')
        found[byOld ? 'old' : 'new']++
      }
    }
  }
  assert.ok(found.old > 10 && found.new > 3, JSON.stringify(found))
})

test('a disk that fails once: the secret that opens the store now is one of the two', () => {
  const disk = new SimulatedFiles()
  newStore(simulatedEnvironment({ seed: 1, files: disk }), OLD)
  for (const call of ['lock', 'open', 'write', 'sync', 'rename', 'syncFolder'] as const) {
    const files = disk.afterCrash()
    const environment = simulatedEnvironment({ seed: 3, files })
    files.failNext({ call, error: call === 'write' ? 'ENOSPC' : 'EIO' })
    const error = refusal(() => rekeySync(PATH, { encryption: OLD, to: NEW, environment }))
    assert.equal(error.code, call === 'write' ? 'NO_SPACE' : 'IO')
    const begun = call !== 'lock' && call !== 'open'
    assert.equal(/keep both until it was opened/.test(error.message), begun)
    files.clearFaults()
    const replaced = call === 'syncFolder'
    assert.deepEqual([opens(environment, OLD), opens(environment, NEW)], [!replaced, replaced])
  }
})

for (const engine of ['btree', 'log'] as const) {
  test(`${engine}: what fails once the new secret is in its place says that it is the one to keep`, () => {
    const files = new SimulatedFiles()
    const environment = simulatedEnvironment({ seed: 1, files })
    openSync(PATH, { environment, engine, encryption: OLD }).closeSync()
    let renamed = false
    files.failNext((call) => {
      if (renamed) return call.call === 'write' ? 'ENOSPC' : undefined
      if (call.call === 'syncFolder') renamed = true
      return undefined
    })
    const error = refusal(() => rekeySync(PATH, { encryption: OLD, to: NEW, environment }))
    assert.equal(error.code, 'NO_SPACE')
    assert.match(error.message, /Only the new secret opens the store now: keep it\./)
    files.clearFaults()
    const opened = (encryption: Encryption): void =>
      openSync(PATH, { environment, engine, encryption }).closeSync()
    assert.equal(refusal(() => opened(OLD)).code, 'BAD_ENCRYPTION_KEY')
    rekeySync(PATH, { encryption: NEW, to: NEW, environment })
    opened(NEW)
  })
}
