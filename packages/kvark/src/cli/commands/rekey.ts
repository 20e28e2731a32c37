/** `rekey`: gives an encrypted store another secret, in place of the one that opens it now. */

import { KvarkError, rekey } from '../../index.ts'
import { EXIT_OK } from '../errors.ts'
import { NEW_SECRET, readSecret, waysOf } from '../secret.ts'
import { type Context, locate } from '../session.ts'
import { quoted } from '../words.ts'

export interface RekeyArguments {
  readonly newKeyFile?: string
  readonly newPassphraseFile?: string
}

export async function rekeyStore(context: Context, options: RekeyArguments): Promise<number> {
  const { io, output } = context
  const path = context.options.dataDir
  const files = { keyFile: options.newKeyFile, passphraseFile: options.newPassphraseFile }
  const to = await readSecret(io, output, files, NEW_SECRET)
  if (to === undefined) {
    throw new KvarkError(
      'INVALID_ARGUMENT',
      `The new secret is missing. Give it with ${waysOf(NEW_SECRET)}.`,
    )
  }
  const { encryption } = await locate(context)
  // An encrypted store was refused without a secret.
  if (encryption === undefined) {
    throw new KvarkError(
      'MISMATCH',
      `The store in ${path} is not encrypted, so there is no secret to change. \`kvark convert ${quoted(path)} TO\` with the new secret makes an encrypted one.`,
      { path },
    )
  }
  await rekey(path, { encryption, to })
  const secret = 'key' in to ? 'key' : 'passphrase'
  if (output.json) await output.jsonLine({ rekeyed: path, secret })
  else output.talk(`The new ${secret} opens the store in ${path} now; the old secret does not.`)
  return EXIT_OK
}
