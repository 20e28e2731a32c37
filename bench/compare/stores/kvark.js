// @ts-check
// kvark, with the engine and the options of the subject.

import { open as openKvark, openSync as openKvarkSync } from '../../../packages/kvark/dist/index.js'

/** The same in each process that opens the store. */
const KEY = new Uint8Array(32).fill(7)

export const durabilities = { none: "'none'", os: "'os'", disk: "'disk'" }

/** @type {import('./store.js').Adapter['open']} */
export function open(opening) {
  return storeOf(openKvarkSync(opening.folder, settingsOf(opening)))
}

/** @param {import('./store.js').Opening} opening */
export async function openAwaited(opening) {
  return storeOf(await openKvark(opening.folder, settingsOf(opening)))
}

/**
 * @param {import('./store.js').Opening} opening
 * @returns {any} which engine it is and what values are, is known only now
 */
function settingsOf({ durability, form, cacheBytes, options }) {
  const values = form === 'text' ? 'utf8' : 'bytes'
  const { encrypted, ...rest } = /** @type {{ encrypted?: boolean }} */ (options)
  const encryption = encrypted ? { encryption: { key: KEY } } : {}
  return { ...rest, ...encryption, durability, cacheBytes, values }
}

/**
 * @param {import('../../../packages/kvark/dist/index.js').AtomicStore<string, any>} db
 * @returns {import('./store.js').Store}
 */
function storeOf(db) {
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
    ...(db.supports.order && { load: (entries) => orderedOf(db).load(entries) }),
    removeMany: (keys) => db.batch(keys.map((key) => ({ type: 'delete', key }))),
    busy: () => db.stats().compacting,
    close: () => db.close(),
  }
}

/**
 * @param {import('../../../packages/kvark/dist/index.js').AtomicStore<string, any>} db of an engine with order
 * @returns {import('../../../packages/kvark/dist/index.js').OrderedStore<string, any>}
 */
function orderedOf(db) {
  return /** @type {any} */ (db)
}
