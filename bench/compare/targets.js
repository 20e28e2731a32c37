// @ts-check
// What our engines have to reach, for a million entries with values of 100 B and 100,000 with values of 4 KiB.
//
//   times     as fast as `than`, which is the best rival of the row if not said otherwise
//   atMostMs  on its own

/** @typedef {{ times: number, than?: string } | { atMostMs: number }} Target */

/** @type {Readonly<Record<string, Readonly<Record<string, Target>>>>} by subject and row */
export const targets = {
  log: {
    'load-sorted': { times: 1 },
    'load-random': { times: 3 },
    open: { atMostMs: 30 },
    'get-string': { times: 5, than: 'lmdb' },
    'get-missing': { times: 4 },
    overwrite: { times: 2.5 },
    'durable-1': { times: 0.9 },
    'durable-64': { times: 3 },
    transact: { times: 2 },
    'transact-1': { times: 0.9 },
    'transact-64': { times: 2 },
    'zipfian-50': { times: 4 },
    'get-bytes': { times: 4, than: 'lmdb' },
    '4k-load-random': { times: 2 },
    '4k-get-string': { times: 2 },
    '4k-get-bytes': { times: 2 },
  },
  // A get of a table, and of an entry that ends, by a plain one.
  'btree+table': { 'get-forms': { times: 1 / 1.1, than: 'btree' } },
  'btree+ttl': { 'get-forms': { times: 1 / 1.1, than: 'btree' } },
  'log+table': { 'get-forms': { times: 1 / 1.1, than: 'log' } },
  'log+ttl': { 'get-forms': { times: 1 / 1.1, than: 'log' } },
  btree: {
    'load-sorted': { times: 0.8, than: 'lmdb' },
    'load-sorted-soon': { times: 1.5, than: 'lmdb' },
    load: { times: 1.5, than: 'lmdb' },
    'load-random': { times: 1.5 },
    'disk-bytes': { times: 1, than: 'lmdb' },
    'get-string': { times: 2, than: 'lmdb' },
    'get-bytes': { times: 2, than: 'lmdb' },
    scan: { times: 3, than: 'lmdb' },
    'scan-bytes': { times: 3 },
    range: { times: 2 },
    'range-bytes': { times: 2 },
    overwrite: { times: 4, than: 'lmdb' },
    'durable-64': { times: 3 },
    transact: { times: 2 },
    'transact-1': { times: 0.9 },
    'transact-64': { times: 2 },
  },
}
