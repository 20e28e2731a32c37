/** `inspect`: the files of a store and what is in them; of a tree also its shape, level by level. */

import type { Inspection, TreeLevel } from '../../index.ts'
import { EXIT_OK } from '../errors.ts'
import { humanBytes, humanNumber } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

const BAR_CELLS = 20

export async function inspect(context: Context): Promise<number> {
  const { io, output } = context
  const place = await locate(context)
  const { files, detail, levels } = await withStore(place, async (_root, store) => {
    const progress = await output.progress('Inspecting')
    try {
      return await store.inspect({ signal: io.signal, progress: progress.update })
    } finally {
      progress.stop()
    }
  })
  const { compression, cipher } = place.found!
  const all = { ...detail, compression, encryption: cipher ?? 'none' }
  if (output.json) {
    await output.jsonLine({ files, detail: all, levels })
    return EXIT_OK
  }
  await output.table(
    files.map((file) => [file.name, file.kind, humanBytes(file.bytes), inWords(file.detail)]),
    ['file', 'kind', 'size', 'detail'],
  )
  if (levels !== undefined && levels.length > 0) {
    await output.line('')
    await output.table(levels.map(drawn), ['level', 'pages', 'entries', 'fill'])
  }
  await output.line(`\n${inWords(all)}`)
  return EXIT_OK
}

/** A level as a row: its name, numbers, and a bar. */
function drawn({ level, pages, entries, fill }: TreeLevel, row: number): string[] {
  const names = [...(row === 0 ? ['root'] : []), ...(level === 0 ? ['leaves'] : [])]
  const name = names.length === 0 ? `${level}` : `${level} (${names.join(', ')})`
  const cells = Math.round(fill * BAR_CELLS)
  const bar = '█'.repeat(cells) + '░'.repeat(BAR_CELLS - cells)
  return [name, humanNumber(pages), humanNumber(entries), `${bar} ${Math.round(fill * 100)} %`]
}

function inWords(detail: Inspection['detail']): string {
  return Object.entries(detail)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}
