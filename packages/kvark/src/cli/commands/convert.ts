/** `convert`: writes everything that a store has to a new store of another engine, compression or secret. */

import { resolve } from 'node:path'
import {
  type ConvertOptions,
  type ConvertReport,
  convert,
  type Encryption,
  KvarkError,
} from '../../index.ts'
import { EXIT_OK } from '../errors.ts'
import { countOf, humanBytes } from '../output.ts'
import { NEW_SECRET, readSecret, SECRET, waysOf } from '../secret.ts'
import { type Context, DEFAULT_DATA_DIR } from '../session.ts'

export interface ConvertArguments {
  readonly pageBytes?: number
  readonly newKeyFile?: string
  readonly newPassphraseFile?: string
  readonly decrypt?: boolean
}

export async function convertStore(
  context: Context,
  from: string,
  to: string,
  options: ConvertArguments,
): Promise<number> {
  const { io, output } = context
  const { keyFile, passphraseFile, engine, compression } = context.options
  io.signal.throwIfAborted()
  checkFolder(context, from)
  const secret = await readSecret(io, output, { keyFile, passphraseFile }, SECRET)
  const files = { keyFile: options.newKeyFile, passphraseFile: options.newPassphraseFile }
  const next = await readSecret(io, output, files, NEW_SECRET)
  if (options.decrypt && next !== undefined) {
    throw new KvarkError(
      'INVALID_ARGUMENT',
      'A new secret is given, and --decrypt asks for a store without one. Leave one of them out.',
    )
  }
  const encryption = options.decrypt ? 'none' : next
  const { entries, bytes } = await run(context, from, to, secret, {
    // `convert` checks the name.
    ...(engine !== undefined && { engine: engine as NonNullable<ConvertOptions['engine']> }),
    ...(compression !== undefined && { compression }),
    ...(options.pageBytes !== undefined && { pageBytes: options.pageBytes }),
    ...(encryption !== undefined && { encryption }),
  })
  if (output.json) await output.jsonLine({ entries, bytes })
  else {
    const what = `${countOf(entries, 'entry', 'entries')}, ${humanBytes(bytes)}`
    await output.line(`Converted to ${to}: ${what}, read back and compared.`)
  }
  return EXIT_OK
}

/** A folder that was given and is not used may be what was meant. */
function checkFolder({ options }: Context, from: string): void {
  const { dataDir } = options
  if (dataDir === DEFAULT_DATA_DIR || resolve(dataDir) === resolve(from)) return
  throw new KvarkError(
    'INVALID_ARGUMENT',
    `\`convert\` takes its folders as arguments, and --data-dir names a third one. Leave it out, or convert ${dataDir}.`,
  )
}

async function run(
  { io, output }: Context,
  from: string,
  to: string,
  secret: Encryption | undefined,
  options: ConvertOptions,
): Promise<ConvertReport> {
  const progress = await output.progress('Converting')
  try {
    return await convert(from, to, {
      ...options,
      from: secret === undefined ? {} : { encryption: secret },
      signal: io.signal,
      progress: progress.update,
    })
  } catch (error) {
    if (secret || !(error instanceof KvarkError) || error.code !== 'BAD_ENCRYPTION_KEY') throw error
    // In the words of the command line.
    throw new KvarkError(
      'BAD_ENCRYPTION_KEY',
      `The store in ${from} is encrypted. Give its secret with ${waysOf(SECRET)}.`,
      { path: from },
    )
  } finally {
    progress.stop()
  }
}
