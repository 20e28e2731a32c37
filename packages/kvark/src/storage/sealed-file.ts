/**
 * A small file that is replaced as a whole: one line of JSON, then the CRC-32 of that line in hex.
 *
 *   {"kvark":1,…}\n
 *   9ae0daaf\n
 *
 * In an encrypted store the line is {"sealed":"…"}: nonce, tag and the encrypted line in base64.
 *
 * All but syncing is carried out at once under both drivers, so that nothing of it is still under way when the folder is
 * somebody else's.
 *
 * 1. A reader sees the old content or the new one, never a mixture, also after a power cut: written to a temporary name,
 *    synced, renamed, folder synced.
 */

import { crc32 } from 'node:zlib'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption } from '../errors.ts'
import type { Files } from '../vfs/files.ts'
import { openFile } from '../vfs/open-file.ts'
import type { StoreCipher } from './cipher.ts'

/** What a half-written file is called until it is complete; leftovers may be removed. */
export const TEMPORARY_SUFFIX = '.tmp'

/**
 * Replaces the file `name` in `folder` by `content`. When it fails, nothing of the new one is left. While its temporary name is there, that is
 * in `drafts`: who takes it from there takes the file away himself.
 */
export function* writeSealed(
  environment: Environment,
  folder: string,
  name: string,
  content: object,
  cipher?: StoreCipher,
  drafts: Set<string> = new Set(),
): Routine<void> {
  const { files } = environment
  const bytes = sealText(name, content, cipher)
  const path = `${folder}/${name}`
  const unique = Buffer.from(environment.random(4)).toString('hex')
  const temporary = `${path}.${unique}${TEMPORARY_SUFFIX}`
  drafts.add(temporary)
  try {
    const handle = files.open(temporary, 'create').sync()
    try {
      handle.write(bytes, 0, bytes.length, 0).sync()
      yield* handle.sync()
    } finally {
      yield* handle.close()
    }
    files.rename(temporary, path).sync()
    drafts.delete(temporary)
  } catch (error) {
    if (drafts.delete(temporary)) removeIfPossible(files, temporary)
    throw error
  }
  yield* files.syncFolder(folder)
}

/** What stays is removed by the next open. */
function removeIfPossible(files: Files, path: string): void {
  try {
    files.remove(path).sync()
  } catch {
    // What it was to become has failed: that is told.
  }
}

/** The content of the file, `undefined` when there is none; `CORRUPTION` when it is damaged. */
export function* readSealed(
  environment: Environment,
  folder: string,
  name: string,
  cipher?: StoreCipher,
): Routine<unknown> {
  const { files } = environment
  const path = `${folder}/${name}`
  if ((yield* files.stat(path)) === undefined) return undefined
  const handle = yield* openFile(files, path, 'read')
  let bytes: Buffer
  try {
    const size = yield* handle.size()
    bytes = Buffer.alloc(size)
    const read = yield* handle.read(bytes, 0, size, 0)
    bytes = bytes.subarray(0, read)
  } finally {
    yield* handle.close()
  }
  return unsealText(path, name, bytes, cipher)
}

/** The line and its checksum. `name`: what it is, as whom it is encrypted. */
export function sealText(name: string, content: object, cipher: StoreCipher | undefined): Buffer {
  const line = Buffer.from(
    `${JSON.stringify(cipher ? encrypt(cipher, name, content) : content)}\n`,
    'utf8',
  )
  return Buffer.concat([line, Buffer.from(`${checksum(line)}\n`, 'latin1')])
}

/** What `sealText` was given; `CORRUPTION` when the bytes are anything else. */
export function unsealText(
  path: string,
  name: string,
  bytes: Buffer,
  cipher: StoreCipher | undefined,
): unknown {
  const end = bytes.indexOf(0x0a)
  if (end < 0) throw corruption(path, bytes.length, 'the file is cut short')
  const line = bytes.subarray(0, end + 1)
  if (bytes.toString('latin1', end + 1) !== `${checksum(line)}\n`) {
    throw corruption(path, 0, 'the file does not match its checksum')
  }
  let content: unknown
  try {
    content = JSON.parse(line.toString('utf8'))
  } catch {
    throw corruption(path, 0, 'the file holds no JSON')
  }
  if (!cipher) return content
  const text = decrypt(cipher, name, content)
  if (text === undefined)
    throw corruption(path, 0, 'the file was not written with the key of this store')
  return JSON.parse(text)
}

function encrypt(cipher: StoreCipher, name: string, content: object): { sealed: string } {
  const bytes = cipher.seal(name, Buffer.from(JSON.stringify(content), 'utf8'))
  return { sealed: Buffer.from(bytes).toString('base64') }
}

function decrypt(cipher: StoreCipher, name: string, content: unknown): string | undefined {
  const { sealed } = (content ?? {}) as { sealed?: unknown }
  if (typeof sealed !== 'string') return undefined
  const found = Buffer.from(sealed, 'base64')
  // Base64 can say the same in several ways; written was one.
  if (found.toString('base64') !== sealed) return undefined
  const bytes = cipher.unseal(name, found)
  return bytes && Buffer.from(bytes).toString('utf8')
}

function checksum(line: Uint8Array): string {
  return crc32(line).toString(16).padStart(8, '0')
}
