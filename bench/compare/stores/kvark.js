// @ts-check
// kvark, with the engine and the options of the subject.

import { open as openKvark, openSync as openKvarkSync } from '../../../packages/kvark/dist/index.js'

/**
 * What a subject may ask for besides options of `open`.
 *
 * @typedef {{ encrypted?: boolean }} KvarkOptions
 */

/** So that entries may end, and none does while it is measured. */
const WEEK_MS = 604_800_000

/** The same in each process that opens the store. */
const KEY = new Uint8Array(32).fill(7)

export const durabilities = {
  none: "'none'",
  os: "'os'",
  soon: "'os', sync not awaited",
  disk: "'disk'",
}

/** @type {import('./store.js').Adapter['open']} */
export function open(opening) {
  return storeOf(openKvarkSync(opening.folder, settingsOf(opening)), opening)
}

/** @param {import('./store.js').Opening} opening */
export async function openAwaited(opening) {
  return storeOf(await openKvark(opening.folder, settingsOf(opening)), opening)
}

/**
 * @param {import('./store.js').Opening} opening
 * @returns {any} which engine it is and what values are, is known only now
 */
function settingsOf({ durability, form, cacheBytes, options }) {
  const values = form === 'text' ? 'utf8' : 'bytes'
  const { encrypted, ...rest } = /** @type {KvarkOptions} */ (options)
  const encryption = encrypted ? { encryption: { key: KEY } } : {}
  const written = durability === 'soon' ? 'os' : durability
  return { ...rest, ...encryption, durability: written, cacheBytes, values }
}

/**
 * @param {import('../../../packages/kvark/dist/index.js').AtomicStore<string, any>} db
 * @param {import('./store.js').Opening} opening
 * @returns {import('./store.js').Store}
 */
function storeOf(db, { form, durability }) {
  /** @type {(keys: string[], puts: import('./store.js').Put[]) => any[]} */
  const transact = (keys, puts) =>
    db.transactionSync((tx) => {
      const found = keys.map((key) => tx.getSync(key))
      for (const { key, value } of puts) tx.putSync(key, value)
      return found
    })
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
    putDurable: (key, value) => {
      db.putSync(key, value)
    },
    putAwaited: (key, value) => db.put(key, value),
    batch:
      durability === 'soon'
        ? async (puts) => {
            await db.batch(puts)
            void db.sync()
          }
        : (puts) => db.batch(puts),
    ...(db.supports.order && {
      load: (entries) => orderedOf(db).load(entries),
      range(from, count, visit) {
        for (const [, value] of orderedOf(db).entries({ gte: from, limit: count })) visit(value)
      },
    }),
    transact,
    transactDurable: transact,
    transactAwaited: (keys, puts) =>
      db.transaction((tx) => {
        const found = keys.map((key) => tx.getSync(key))
        for (const { key, value } of puts) tx.putSync(key, value)
        return found
      }),
    removeMany: (keys) => db.batch(keys.map((key) => ({ type: 'delete', key }))),
    get forms() {
      return formsOf(db, form)
    },
    busy: () => db.stats().compacting,
    close: () => db.close(),
  }
}

/**
 * @param {import('../../../packages/kvark/dist/index.js').AtomicTable<string, any>} db of an engine with order
 * @returns {import('../../../packages/kvark/dist/index.js').OrderedTable<string, any>}
 */
function orderedOf(db) {
  return /** @type {any} */ (db)
}

/**
 * @param {import('../../../packages/kvark/dist/index.js').AtomicStore<string, any>} db
 * @param {import('./store.js').Opening['form']} form
 * @returns {Readonly<Record<string, import('./store.js').Form>>}
 */
function formsOf(db, form) {
  const table = db.table('entries', { values: form === 'text' ? 'utf8' : 'bytes' })
  const ending = (/** @type {import('./store.js').Put[]} */ puts) =>
    puts.map((put) => ({ ...put, ttl: WEEK_MS }))
  return {
    table: { get: (key) => table.getSync(key), batch: (puts) => table.batch(puts) },
    ttl: { get: (key) => db.getSync(key), batch: (puts) => db.batch(ending(puts)) },
    'table+ttl': {
      get: (key) => table.getSync(key),
      batch: (puts) => table.batch(ending(puts)),
    },
  }
}
