// @ts-check
// kvark, with the engine and the options of the subject.

import { open as openKvark } from '../../../packages/kvark/dist/index.js'

/** The same in each process that opens the store. */
const KEY = new Uint8Array(32).fill(7)

export const durabilities = { none: "'none'", os: "'os'", disk: "'disk'" }

/** @type {import('./store.js').Adapter['open']} */
export async function open({ folder, durability, form, cacheBytes, options }) {
  const values = form === 'text' ? 'utf8' : 'bytes'
  const { encrypted, ...rest } = /** @type {{ encrypted?: boolean }} */ (options)
  const encryption = encrypted ? { encryption: { key: KEY } } : {}
  /** @type {any} which engine it is and what values are, is known only now */
  const settings = { ...rest, ...encryption, durability, cacheBytes, values }
  /** @type {import('../../../packages/kvark/dist/index.js').AtomicStore<string, any>} */
  const db = await openKvark(folder, settings)
  return {
    get: (key) => db.getSync(key),
    getAwaited: (key) => db.get(key),
    view: (key, use) => db.viewSync(key, use),
    getMany: (keys) => db.getMany(keys),
    scan(visit) {
      for (const [, value] of db.entries()) visit(value)
    },
    put: (key, value) => {
      db.putSync(key, value)
    },
    putAwaited: (key, value) => db.put(key, value),
    batch: (puts) => db.batch(puts),
    removeMany: (keys) => db.batch(keys.map((key) => ({ type: 'delete', key }))),
    busy: () => db.stats().compacting,
    close: () => db.close(),
  }
}
