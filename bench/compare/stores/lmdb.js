// @ts-check
// lmdb. As it comes, a commit is visible before it is on disk; `flushed` tells when it is. With `noSync`, commits are
// handed to the operating system and nothing waits for the disk.

import { load } from '../../rivals/index.js'

const lmdb = load('lmdb')

export const durabilities = {
  none: 'noSync',
  os: 'noSync',
  soon: 'as it comes',
  disk: 'as it comes, flushed awaited',
}
const SETTINGS = {
  none: { noSync: true },
  os: { noSync: true },
  soon: {},
  disk: { separateFlushed: true },
}

/** @type {import('./store.js').Adapter['open']} */
export async function open({ folder, durability, form }) {
  const disk = durability === 'disk'
  const db = lmdb.open({
    path: folder,
    encoding: form === 'text' ? 'string' : 'binary',
    ...SETTINGS[durability],
  })
  // Without it every transaction becomes one that can be rolled back, which is slower.
  const { SYNCHRONOUS_COMMIT } = lmdb.TransactionFlags
  return {
    get: (key) => db.get(key),
    getAwaited: (key) => db.get(key),
    view(key, use) {
      const bytes = db.getBinaryFast(key)
      return bytes === undefined ? undefined : use(bytes)
    },
    // Its `getMany` is for data that is not cached; there are faster gets for data that is.
    getMany: (keys) => keys.map((key) => db.get(key)),
    scan(visit) {
      for (const { value } of db.getRange()) visit(value)
    },
    range(from, count, visit) {
      for (const { value } of db.getRange({ start: from, limit: count })) visit(value)
    },
    transact: (keys, puts) =>
      db.transactionSync(() => {
        const found = keys.map((key) => db.get(key))
        for (const { key, value } of puts) db.putSync(key, value)
        return found
      }, SYNCHRONOUS_COMMIT),
    transactAwaited(keys, puts) {
      const done = db.transaction(() => {
        const found = keys.map((key) => db.get(key))
        for (const { key, value } of puts) db.put(key, value)
        return found
      })
      // It has been flushed when all that was committed before has been.
      return disk ? done.then((/** @type {any} */ found) => db.flushed.then(() => found)) : done
    },
    put: (key, value) => {
      db.putSync(key, value)
    },
    putAwaited: disk
      ? (key, value) => db.put(key, value).flushed
      : (key, value) => db.put(key, value),
    batch: (puts) => {
      db.transactionSync(() => {
        for (const { key, value } of puts) db.putSync(key, value)
      }, SYNCHRONOUS_COMMIT)
    },
    removeMany: (keys) => {
      db.transactionSync(() => {
        for (const key of keys) db.removeSync(key)
      }, SYNCHRONOUS_COMMIT)
    },
    close: () => db.close(),
  }
}
