// @ts-check
// classic-level. Without `sync` a write has been handed to the operating system; it has no weaker way. There are no
// synchronous writes.

import { load } from '../../rivals/index.js'

const { ClassicLevel } = load('classic-level')

const PAGE = 1000

export const durabilities = { none: 'sync: false', os: 'sync: false', disk: 'sync: true' }

/** @type {import('./store.js').Adapter['open']} */
export async function open({ folder, durability, form, cacheBytes }) {
  const valueEncoding = form === 'text' ? 'utf8' : 'buffer'
  const db = new ClassicLevel(folder, { valueEncoding, cacheSize: cacheBytes })
  await db.open()
  const how = { sync: durability === 'disk' }
  return {
    get: (key) => db.getSync(key),
    getAwaited: (key) => db.get(key),
    getMany: (keys) => db.getMany(keys),
    async scan(visit) {
      const cursor = db.iterator()
      for (;;) {
        const page = await cursor.nextv(PAGE)
        if (page.length === 0) break
        for (const [, value] of page) visit(value)
      }
      await cursor.close()
    },
    async range(from, count, visit) {
      for (const [, value] of await db.iterator({ gte: from, limit: count }).all()) visit(value)
    },
    putAwaited: (key, value) => db.put(key, value, how),
    batch: (puts) => db.batch(puts, how),
    removeMany: (keys) =>
      db.batch(
        keys.map((key) => ({ type: 'del', key })),
        how,
      ),
    close: () => db.close(),
  }
}

export const openAwaited = open
