/** Contract, chapter 13: destroying a store. It goes as a whole, alone, and only while nobody has it open. */

import assert from 'node:assert/strict'
import { type DestroyReport, destroyWith } from '../../store/destroy.ts'
import { content, names, pattern, rejects, throws } from './check.ts'
import type { Case, Chapter, Place } from './place.ts'

function destroying(place: Place): { sync(): DestroyReport; async(): Promise<DestroyReport> } {
  const { engine, environment, path } = place
  return destroyWith({ [engine.name]: engine }, path, { environment })
}

function namesIn({ environment, path }: Place): string[] | undefined {
  if (environment.files.stat(path).sync() === undefined) return undefined
  return environment.files.list(path).sync()
}

function putFile({ environment, path }: Place, name: string, bytes: Uint8Array): void {
  const handle = environment.files.open(`${path}/${name}`, 'create').sync()
  handle.write(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
}

/** A store with all that an engine leaves behind. */
async function fill(place: Place): Promise<void> {
  const db = await place.open({ durability: 'none' })
  for (let round = 0; round < 4; round++) {
    for (const name of names(100)) db.putSync(name, `${round}`.repeat(300))
    await db.compact()
  }
  await db.close()
}

const cases: readonly Case[] = [
  {
    name: 'a store goes with its folder, and another can be made there',
    async run(place) {
      for (const synchronous of [false, true]) {
        await fill(place)
        const act = destroying(place)
        const { bytes, kept } = synchronous ? act.sync() : await act.async()
        assert.ok(bytes > 30_000, `${bytes} bytes`)
        assert.deepEqual(kept, [])
        assert.equal(namesIn(place), undefined)
        await rejects('NOT_FOUND', () => act.async())
        assert.equal(namesIn(place), undefined)
      }
      const db = await place.open()
      assert.deepEqual(await content(db), {})
      await db.put('a', '1')
    },
  },
  {
    name: 'an open store is LOCKED and stays as it is',
    async run(place) {
      const db = await place.open()
      await db.put('a', '1')
      const error = await rejects('LOCKED', () => destroying(place).async())
      assert.equal(error.pid, process.pid)
      throws('LOCKED', () => destroying(place).sync())
      await db.put('b', '2')
      await db.close()
      assert.deepEqual(await content(await place.open()), { a: '1', b: '2' })
    },
  },
  {
    name: 'files of others stay, and the folder with them',
    async run(place) {
      await fill(place)
      const others = ['LOCK.txt', 'MANIFEST.txt', 'kvark', 'notes', 'notes.tmp']
      for (const name of others) putFile(place, name, pattern(10, 1))
      const folder = '1.others'
      place.environment.files.makeFolder(`${place.path}/${folder}`).sync()
      const { kept } = await destroying(place).async()
      assert.deepEqual([...kept].sort(), [folder, ...others].sort())
      assert.deepEqual(namesIn(place), [folder, ...others].sort())
      await rejects('NOT_FOUND', () => destroying(place).async())
    },
  },
  {
    name: 'where no store is, nothing is touched',
    async run(place) {
      await rejects('NOT_FOUND', () => destroying(place).async())
      place.environment.files.makeFolder(place.path).sync()
      await rejects('NOT_FOUND', () => destroying(place).async())
      // As another database names its files.
      const others = ['000003.log', '000005.ldb', 'CURRENT', 'LOCK', 'MANIFEST', 'MANIFEST-000002']
      for (const name of others) putFile(place, name, pattern(10, 1))
      await rejects('NOT_FOUND', () => destroying(place).async())
      throws('NOT_FOUND', () => destroying(place).sync())
      assert.deepEqual(namesIn(place), others)
    },
  },
  {
    name: 'a damaged store is removed, too',
    async run(place) {
      await fill(place)
      const { files } = place.environment
      for (const name of namesIn(place)!) {
        const handle = files.open(`${place.path}/${name}`, 'write').sync()
        handle.write(pattern(64, 3), 0, 64, 0).sync()
        handle.close().sync()
      }
      putFile(place, 'KVARK.0badf00d.tmp', pattern(10, 1))
      await rejects('CORRUPTION', () => place.open())
      await destroying(place).async()
      assert.equal(namesIn(place), undefined)
    },
  },
]

export const destroy: Chapter = { name: 'destroy', cases }
