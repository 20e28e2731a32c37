/**
 * Where the command line gets the secret of an encrypted store: from a file or from the environment, never from an argument,
 * which every other process of the machine could read.
 *
 *   --key-file F          the bytes of F, without the line end at their end; at least 16
 *   --passphrase-file F   the text of F, likewise
 *   KVARK_KEY             hex
 *   KVARK_PASSPHRASE      text
 *
 * 1. Two of them are refused: nobody should have to know which one counts. So is an empty one, which would make a store that is
 *    not encrypted by mistake.
 * 2. No message shows a secret or a part of it.
 */

import { isUtf8 } from 'node:buffer'
import { readFile, stat } from 'node:fs/promises'
import { type Encryption, KvarkError } from '../index.ts'
import { fileError } from './errors.ts'
import type { Io } from './io.ts'
import type { Output } from './output.ts'

/** The files that options name. */
export interface SecretFiles {
  readonly keyFile: string | undefined
  readonly passphraseFile: string | undefined
}

/** How the options and variables of one secret are called. */
export interface SecretNames {
  readonly keyFile: string
  readonly passphraseFile: string
  readonly key: string
  readonly passphrase: string
}

/** What opens the store. */
export const SECRET: SecretNames = {
  keyFile: '--key-file',
  passphraseFile: '--passphrase-file',
  key: 'KVARK_KEY',
  passphrase: 'KVARK_PASSPHRASE',
}

/** What `rekey` gives it. */
export const NEW_SECRET: SecretNames = {
  keyFile: '--new-key-file',
  passphraseFile: '--new-passphrase-file',
  key: 'KVARK_NEW_KEY',
  passphrase: 'KVARK_NEW_PASSPHRASE',
}

const LEAST_KEY_BYTES = 16
/** Whoever is neither the owner nor of the group may read. */
const READABLE_BY_ALL = 0o004
const FORBIDDEN = /^--(?:new-)?(?:key|passphrase|password)(?==|$)/

/** All ways to give a secret, for a sentence. */
export function waysOf({ keyFile, passphraseFile, key, passphrase }: SecretNames): string {
  return `${keyFile}, ${passphraseFile}, or the variable ${key} or ${passphrase}`
}

/** The secret that options and environment give; `undefined` where they give none. */
export async function readSecret(
  io: Io,
  output: Output,
  files: SecretFiles,
  names: SecretNames,
): Promise<Encryption | undefined> {
  const { keyFile, passphraseFile } = files
  const key = io.env[names.key]
  const passphrase = io.env[names.passphrase]
  const given = [
    [names.keyFile, keyFile],
    [names.passphraseFile, passphraseFile],
    [names.key, key],
    [names.passphrase, passphrase],
  ].flatMap(([name, value]) => (value === undefined ? [] : [name!]))
  if (given.length > 1) {
    throw refusal(`${given.join(' and ')} are given; the store has one secret. Give one of them.`)
  }
  if (keyFile !== undefined) return { key: keyOf(await readLine(output, keyFile), keyFile) }
  if (passphraseFile !== undefined) {
    const bytes = await readLine(output, passphraseFile)
    if (!isUtf8(bytes)) {
      throw refusal(
        `The file ${passphraseFile} holds no UTF-8 text. Give bytes with ${names.keyFile}.`,
      )
    }
    return { passphrase: passphraseOf(bytes.toString(), `The file ${passphraseFile}`) }
  }
  if (key !== undefined) return { key: hexKeyOf(key, names.key) }
  if (passphrase !== undefined) {
    return { passphrase: passphraseOf(passphrase, `The variable ${names.passphrase}`) }
  }
  return undefined
}

/** Refuses arguments that try to be a secret, before anything repeats them. */
export function refuseSecretArguments(argv: readonly string[]): void {
  const end = argv.indexOf('--')
  const options = end < 0 ? argv : argv.slice(0, end)
  const [option] = options.flatMap((argument) => FORBIDDEN.exec(argument) ?? [])
  if (option === undefined) return
  throw refusal(
    `There is no option '${option}', since other processes could read a secret that is an argument. Use ${waysOf(option.startsWith('--new-') ? NEW_SECRET : SECRET)}.`,
  )
}

/** The content of a file without the line end that an editor or `echo` puts there. */
async function readLine(output: Output, file: string): Promise<Buffer> {
  try {
    const info = await stat(file)
    if (process.platform !== 'win32' && info.isFile() && (info.mode & READABLE_BY_ALL) !== 0) {
      output.talk(
        `Warning: every user of this machine can read ${file}. \`chmod 600 ${file}\` keeps it yours.`,
      )
    }
    const bytes = await readFile(file)
    if (bytes.at(-1) !== 0x0a) return bytes
    return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
  } catch (error) {
    throw fileError(error, `read ${file}`, file)
  }
}

function keyOf(bytes: Buffer, file: string): Uint8Array {
  if (bytes.length >= LEAST_KEY_BYTES) return bytes
  throw refusal(
    `The key in ${file} has ${bytes.length} bytes; a key has at least ${LEAST_KEY_BYTES}. \`openssl rand -base64 32\` prints a good one.`,
  )
}

function hexKeyOf(text: string, variable: string): Uint8Array {
  if (/^(?:[0-9a-f]{2})+$/i.test(text) && text.length >= 2 * LEAST_KEY_BYTES) {
    return Buffer.from(text, 'hex')
  }
  throw refusal(
    `The variable ${variable} must be hex, at least ${2 * LEAST_KEY_BYTES} digits. \`openssl rand -hex 32\` prints a good key.`,
  )
}

function passphraseOf(text: string, where: string): string {
  if (text !== '') return text
  throw refusal(`${where} is empty. Put the passphrase there.`)
}

function refusal(message: string): KvarkError {
  return new KvarkError('INVALID_ARGUMENT', message)
}
