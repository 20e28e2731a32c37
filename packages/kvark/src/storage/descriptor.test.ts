import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { checkWritable, type Descriptor, readDescriptor, writeDescriptor } from './descriptor.ts'

const FOLDER = '/store'
const PATH = `${FOLDER}/KVARK`

const sample: Descriptor = {
  storeId: '0123456789abcdef0123456789abcdef',
  engine: 'log',
  hashSeed: 4294967295,
  options: { pageBytes: 4096 },
  codecs: { keys: 'utf8', values: 'é\u2028"' },
  checksum: 'crc32',
  compression: 'none',
  encryption: undefined,
  edition: 0,
  features: { compatible: 2 ** 31, readOnlyCompatible: 0, incompatible: 0 },
}

function newEnvironment(): Environment {
  const environment = nodeEnvironment(memoryFiles())
  environment.files.makeFolder(FOLDER).sync()
  return environment
}

function readBytes({ files }: Environment): Buffer {
  const handle = files.open(PATH, 'read').sync()
  const bytes = Buffer.alloc(handle.size().sync())
  handle.read(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
  return bytes
}

function writeBytes({ files }: Environment, bytes: Uint8Array): void {
  files.remove(PATH).sync()
  const handle = files.open(PATH, 'create').sync()
  handle.write(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
}

/** A file with a right checksum. */
function writeLine(environment: Environment, content: unknown): void {
  const line = Buffer.from(`${JSON.stringify(content)}\n`)
  const checksum = crc32(line).toString(16).padStart(8, '0')
  writeBytes(environment, Buffer.concat([line, Buffer.from(`${checksum}\n`)]))
}

function readError(environment: Environment): KvarkError {
  try {
    runSync(readDescriptor(environment, FOLDER))
  } catch (error) {
    if (error instanceof KvarkError) return error
    throw error
  }
  assert.fail('the descriptor was read')
}

test('what is written is read, and the file is one line and its checksum', () => {
  const environment = newEnvironment()
  assert.equal(runSync(readDescriptor(environment, FOLDER)), undefined)
  runSync(writeDescriptor(environment, FOLDER, sample, undefined))
  assert.deepEqual(runSync(readDescriptor(environment, FOLDER)), sample)
  assert.match(readBytes(environment).toString(), /^\{"kvark":1,"storeId":[^\n]*\}\n[0-9a-f]{8}\n$/)
  assert.deepEqual(environment.files.list(FOLDER).sync(), ['KVARK'])
})

test('every flipped bit and every cut is CORRUPTION with the path', () => {
  const environment = newEnvironment()
  runSync(writeDescriptor(environment, FOLDER, sample, undefined))
  const whole = readBytes(environment)
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const damaged = Buffer.from(whole)
    damaged[bit >>> 3]! ^= 1 << (bit & 7)
    writeBytes(environment, damaged)
    const error = readError(environment)
    assert.deepEqual([error.code, error.path], ['CORRUPTION', PATH], `bit ${bit}`)
  }
  for (let length = 0; length < whole.length; length++) {
    writeBytes(environment, whole.subarray(0, length))
    assert.equal(readError(environment).code, 'CORRUPTION', `${length} bytes`)
  }
  writeBytes(environment, Buffer.concat([whole, Buffer.from('x')]))
  assert.equal(readError(environment).code, 'CORRUPTION')
})

test('a file of something else is CORRUPTION, also with a checksum', () => {
  const environment = newEnvironment()
  const fields = { kvark: 1, ...sample, features: [0, 0, 0] }
  const foreign = [
    [],
    null,
    'text',
    {},
    { ...fields, kvark: '1' },
    { ...fields, storeId: 'x' },
    { ...fields, hashSeed: -1 },
    { ...fields, hashSeed: 1.5 },
    { ...fields, options: [] },
    { ...fields, codecs: { keys: 'utf8' } },
    { ...fields, features: [0, 0] },
    { ...fields, features: [0, 0, '0'] },
  ]
  for (const content of foreign) {
    writeLine(environment, content)
    const error = readError(environment)
    assert.deepEqual([error.code, error.path], ['CORRUPTION', PATH], JSON.stringify(content))
  }
})

test('what a newer kvark wrote is VERSION', () => {
  const environment = newEnvironment()
  const fields = { kvark: 1, ...sample, encryption: null, features: [0, 0, 0] }
  writeLine(environment, { kvark: 2, whatever: true })
  const newer = readError(environment)
  assert.deepEqual([newer.code, newer.expected, newer.found], ['VERSION', 1, 2])
  for (const bit of [0, 1, 31]) {
    writeLine(environment, { ...fields, features: [0, 0, 2 ** bit] })
    assert.equal(readError(environment).code, 'VERSION', `incompatible bit ${bit}`)
    writeLine(environment, { ...fields, features: [2 ** bit, 2 ** bit, 0] })
    const readable = runSync(readDescriptor(environment, FOLDER))!
    assert.throws(() => checkWritable(readable, FOLDER), { code: 'VERSION', path: PATH })
  }
  writeLine(environment, { ...fields, features: [2 ** 31, 0, 0] })
  checkWritable(runSync(readDescriptor(environment, FOLDER))!, FOLDER)
})
