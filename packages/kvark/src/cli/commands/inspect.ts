/** `inspect`: the files of a store and what is in them. */

import type { Inspection } from '../../index.ts'
import { EXIT_OK } from '../errors.ts'
import { humanBytes } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function inspect(context: Context): Promise<number> {
  const { output } = context
  const place = await locate(context)
  const { files, detail } = await withStore(place, (store) => store.inspect())
  const { compression, cipher } = place.found!
  const found = { files, detail: { ...detail, compression, encryption: cipher ?? 'none' } }
  if (output.json) {
    await output.jsonLine(found)
    return EXIT_OK
  }
  await output.table(
    found.files.map(({ name, kind, bytes, detail }) => [
      name,
      kind,
      humanBytes(bytes),
      inWords(detail),
    ]),
    ['file', 'kind', 'size', 'detail'],
  )
  await output.line(`\n${inWords(found.detail)}`)
  return EXIT_OK
}

function inWords(detail: Inspection['detail']): string {
  return Object.entries(detail)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}
