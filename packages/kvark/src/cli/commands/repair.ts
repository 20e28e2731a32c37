/** `repair`: copies what can be read of a damaged store to a new one; one line for each place that cannot. */

import {
  type Encryption,
  KvarkError,
  type LostKey,
  type RepairReport,
  repair,
} from '../../index.ts'
import { bytesToJson, showBytes, visible } from '../bytes.ts'
import { EXIT_LOST, EXIT_OK } from '../errors.ts'
import { countOf, humanBytes } from '../output.ts'
import { readSecret, SECRET, waysOf } from '../secret.ts'
import type { Context } from '../session.ts'
import type { CodecOptions } from './write-options.ts'

export async function repairCommand(
  context: Context,
  to: string,
  codecs: CodecOptions,
): Promise<number> {
  const { io, output, options } = context
  const { keyFile, passphraseFile, encoding } = options
  io.signal.throwIfAborted()
  const encryption = await readSecret(io, output, { keyFile, passphraseFile }, SECRET)
  const { entries, bytes, lost } = await repairStore(context, to, codecs, encryption)
  if (output.json) {
    const inJson = ({ key, ...rest }: LostKey): object => ({
      key: bytesToJson(key, encoding),
      ...rest,
    })
    await output.jsonLine({
      entries,
      bytes,
      lost: lost.map((range) => ({
        ...range,
        ...(range.keys === undefined ? {} : { keys: range.keys.map(inJson) }),
      })),
    })
  } else {
    for (const { path, from, to: end, reason, keys = [] } of lost) {
      const place = `${path}, bytes ${from} to ${end}`
      await output.line(`${output.paint('red', 'LOST')} ${place}: ${reason}`)
      for (const { key, table, version, kept } of keys) {
        const shown = showBytes(key, encoding)
        const text = output.terminal ? visible(shown.toString(), false) : shown
        const instead = kept === undefined ? 'and has none now' : `and has version ${kept} again`
        const what =
          version === undefined ? 'may have lost its newest value' : `lost version ${version}`
        const where = table === undefined ? '' : ` of the table ${JSON.stringify(table)}`
        await output.write('  key ', text, `${where} ${what} ${instead}\n`)
      }
    }
    const what = `${countOf(entries, 'entry', 'entries')}, ${humanBytes(bytes)}`
    const result =
      lost.length === 0
        ? output.paint('green', 'nothing is lost')
        : output.paint('red', `${countOf(lost.length, 'place', 'places')} could not be read`)
    await output.line(`Repaired to ${to}: ${what}; ${result}`)
  }
  return lost.length === 0 ? EXIT_OK : EXIT_LOST
}

async function repairStore(
  { io, output, options }: Context,
  to: string,
  { keys, values }: CodecOptions,
  encryption: Encryption | undefined,
): Promise<RepairReport> {
  const { dataDir } = options
  const progress = await output.progress('Repairing')
  try {
    return await repair(dataDir, to, {
      signal: io.signal,
      progress: progress.update,
      ...(keys === undefined ? {} : { keys }),
      ...(values === undefined ? {} : { values }),
      ...(encryption === undefined ? {} : { encryption }),
    })
  } catch (error) {
    if (encryption || !(error instanceof KvarkError) || error.code !== 'BAD_ENCRYPTION_KEY') {
      throw error
    }
    // In the words of the command line.
    throw new KvarkError(
      'BAD_ENCRYPTION_KEY',
      `The store in ${dataDir} is encrypted. Give its secret with ${waysOf(SECRET)}.`,
      { path: dataDir },
    )
  } finally {
    progress.stop()
  }
}
