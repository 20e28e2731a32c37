// @ts-check
// What is measured, in this order. Everything is better when it is smaller.

import { inKeyOrder } from '../data.js'
import { mixed } from './measure/mixed.js'
import {
  get,
  getAwaited,
  getForms,
  getMany,
  getMissing,
  ranges,
  scan,
  view,
} from './measure/reads.js'
import { transact, transactConcurrently } from './measure/transactions.js'
import { diskBytes, memory, open, openAwaited, privateMemory } from './measure/whole.js'
import {
  deleteMany,
  load,
  overwrite,
  putAwaited,
  putConcurrently,
  putOutstanding,
  putSync,
} from './measure/writes.js'

/** @typedef {number | { plain: number, [form: string]: number } | undefined} Measured undefined: the subject has no such verb */

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {string} what
 * @property {string} data the name of a data set
 * @property {(job: import('./measure/timing.js').Job) => Promise<Measured>} measure
 * @property {import('./stores/store.js').Durability} [durability] of rows that write
 * @property {'fresh' | 'loaded' | 'alone'} [store] `fresh`: makes its own; `loaded` (if not said otherwise): goes on with
 *   the loaded one; `alone`: the loaded one in a new process
 * @property {'ns' | 'bytes'} [unit] `ns` for each operation if not said otherwise
 * @property {number} [rounds] 3 if not said otherwise
 * @property {number} [warmUp] how much of it is done once before the rounds; all of it if not said otherwise
 * @property {boolean} [variants] whether variants of an engine take part
 * @property {readonly string[]} [bounds] what the machine allows
 */

const inRandomOrder = (/** @type {number} */ count) =>
  Uint32Array.from({ length: count }, (_, i) => i)
const PART = 0.05
const WRITE_BOUNDS = ['write(2)', 'Map.set']
const READ_BOUNDS = ['bare get', 'Map.get', 'memcpy']
const SYNC_BOUNDS = ['fdatasync, appending', 'fdatasync, preallocated']

/**
 * @param {string} data
 * @param {string} prefix
 * @returns {Row[]}
 */
function loads(data, prefix) {
  const random = {
    what: 'load in random order, batches of 1000',
    data,
    store: /** @type {const} */ ('fresh'),
    warmUp: PART,
    bounds: WRITE_BOUNDS,
    measure: load(inRandomOrder),
  }
  return [
    {
      ...random,
      name: `${prefix}load-sorted`,
      what: 'load in key order, batches of 1000',
      durability: 'none',
      measure: load(inKeyOrder),
    },
    {
      ...random,
      name: `${prefix}load-sorted-soon`,
      what: 'the same, synced in the background',
      durability: 'soon',
      measure: load(inKeyOrder),
    },
    {
      ...random,
      name: `${prefix}load`,
      what: 'load in key order by load(), where there is such a verb',
      durability: 'none',
      measure: load(inKeyOrder, 1, true),
    },
    { ...random, name: `${prefix}load-random`, durability: 'none', variants: true },
    { ...random, name: `${prefix}load-random-os`, durability: 'os' },
    {
      ...random,
      name: `${prefix}load-random-disk`,
      what: 'load of a tenth in random order, batches of 1000',
      durability: 'disk',
      measure: load(inRandomOrder, 0.1),
    },
    {
      name: `${prefix}disk-bytes`,
      what: 'bytes on disk for each entry, loaded in random order',
      data,
      unit: 'bytes',
      rounds: 1,
      warmUp: 0,
      variants: true,
      measure: diskBytes,
    },
  ]
}

/** @type {readonly Row[]} */
export const rows = [
  ...strings(),
  {
    name: 'get-bytes',
    what: 'get of bytes, random',
    data: '100 B bytes',
    rounds: 5,
    bounds: READ_BOUNDS,
    measure: get,
  },
  {
    name: 'scan-bytes',
    what: 'full scan, keys and values as bytes',
    data: '100 B bytes',
    measure: scan,
  },
  {
    name: 'range-bytes',
    what: 'an entry in ranges of 100 from a random key on, values as bytes',
    data: '100 B bytes',
    rounds: 5,
    measure: ranges,
  },
  ...large(),
]

/** @returns {Row[]} */
function strings() {
  const data = '100 B strings'
  return [
    ...loads(data, ''),
    {
      name: 'open',
      what: 'open at once, lock and index included, and the first get',
      data,
      variants: true,
      store: 'alone',
      rounds: 5,
      warmUp: 0,
      measure: open,
    },
    {
      name: 'open-awaited',
      what: 'the same awaited, by those who have it',
      data,
      store: 'alone',
      rounds: 5,
      warmUp: 0,
      measure: openAwaited,
    },
    {
      name: 'memory',
      what: 'resident memory added by opening and reading everything',
      data,
      store: 'alone',
      unit: 'bytes',
      warmUp: 0,
      measure: memory,
    },
    {
      name: 'memory-private',
      what: 'the same without mapped files',
      data,
      store: 'alone',
      unit: 'bytes',
      warmUp: 0,
      measure: privateMemory,
    },
    {
      name: 'get-string',
      what: 'get of a string, random',
      data,
      variants: true,
      rounds: 5,
      bounds: READ_BOUNDS,
      measure: get,
    },
    {
      name: 'get-forms',
      what: 'get of a string, random; a quarter of all is plain, a quarter in a table, two quarters are the same but end some time',
      data,
      store: 'fresh',
      durability: 'none',
      rounds: 5,
      warmUp: 0,
      measure: getForms,
    },
    { name: 'view', what: "view of the value's bytes, random", data, rounds: 5, measure: view },
    { name: 'get-awaited', what: 'awaited get of a string, random', data, measure: getAwaited },
    { name: 'get-missing', what: 'get of a missing key', data, rounds: 5, measure: getMissing },
    { name: 'get-many', what: 'get of 100 strings at once, random', data, measure: getMany },
    { name: 'scan', what: 'full scan, keys and values', data, variants: true, measure: scan },
    {
      name: 'range',
      what: 'an entry in ranges of 100 from a random key on',
      data,
      rounds: 5,
      measure: ranges,
    },
    {
      name: 'zipfian-50',
      what: 'half gets, half puts, zipfian',
      data,
      durability: 'none',
      warmUp: PART,
      measure: mixed(0.5),
    },
    {
      name: 'zipfian-95',
      what: '95 % gets, 5 % puts, zipfian',
      data,
      durability: 'none',
      warmUp: PART,
      measure: mixed(0.95),
    },
    {
      name: 'overwrite',
      what: 'random overwrites of everything, batches of 1000',
      data,
      variants: true,
      durability: 'none',
      warmUp: PART,
      bounds: WRITE_BOUNDS,
      measure: overwrite,
    },
    {
      name: 'put-sync',
      what: 'synchronous put, random',
      data,
      durability: 'none',
      warmUp: PART,
      measure: putSync,
    },
    {
      name: 'put-awaited',
      what: 'awaited put, random',
      data,
      durability: 'none',
      warmUp: PART,
      measure: putAwaited,
    },
    {
      name: 'put-outstanding',
      what: 'put with 1000 outstanding, random',
      data,
      durability: 'none',
      warmUp: PART,
      measure: putOutstanding,
    },
    {
      name: 'delete',
      what: 'random deletes, batches of 1000',
      data,
      durability: 'none',
      warmUp: PART,
      measure: deleteMany,
    },
    {
      name: 'put-sync-os',
      what: 'synchronous put, random',
      data,
      durability: 'os',
      warmUp: PART,
      measure: putSync,
    },
    {
      name: 'durable-1',
      what: 'durable put, one caller, at once where it can be',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      bounds: SYNC_BOUNDS,
      measure: putConcurrently(1, true),
    },
    {
      name: 'durable-1-awaited',
      what: 'durable put, one caller, awaited where it can be',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      bounds: SYNC_BOUNDS,
      measure: putConcurrently(1),
    },
    {
      name: 'durable-64',
      what: 'durable put, 64 callers',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      bounds: SYNC_BOUNDS,
      measure: putConcurrently(64),
    },
    {
      name: 'transact',
      what: 'transaction of 2 gets and 2 puts, random, at once',
      data,
      durability: 'os',
      warmUp: PART,
      measure: transact,
    },
    {
      name: 'transact-1',
      what: 'durable transaction of 2 gets and 2 puts, one caller, at once where it can be',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      bounds: SYNC_BOUNDS,
      measure: transactConcurrently(1, true),
    },
    {
      name: 'transact-1-awaited',
      what: 'durable transaction of 2 gets and 2 puts, one caller, awaited where it can be',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      bounds: SYNC_BOUNDS,
      measure: transactConcurrently(1),
    },
    {
      name: 'transact-64',
      what: 'durable transaction of 2 gets and 2 puts, 64 callers',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      bounds: SYNC_BOUNDS,
      measure: transactConcurrently(64),
    },
  ]
}

/** @returns {Row[]} */
function large() {
  const data = '4 KiB strings'
  return [
    ...loads(data, '4k-'),
    {
      name: '4k-get-string',
      what: 'get of a string, random',
      data,
      variants: true,
      rounds: 5,
      bounds: READ_BOUNDS,
      measure: get,
    },
    { name: '4k-view', what: "view of the value's bytes, random", data, rounds: 5, measure: view },
    { name: '4k-scan', what: 'full scan, keys and values', data, variants: true, measure: scan },
    {
      name: '4k-overwrite',
      what: 'random overwrites of everything, batches of 1000',
      data,
      durability: 'none',
      warmUp: PART,
      bounds: WRITE_BOUNDS,
      measure: overwrite,
    },
    {
      name: '4k-durable-64',
      what: 'durable put, 64 callers',
      data,
      durability: 'disk',
      rounds: 5,
      warmUp: PART,
      measure: putConcurrently(64),
    },
    {
      name: '4k-get-bytes',
      what: 'get of bytes, random',
      data: '4 KiB bytes',
      rounds: 5,
      bounds: READ_BOUNDS,
      measure: get,
    },
  ]
}
