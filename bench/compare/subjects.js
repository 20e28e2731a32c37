// @ts-check
// Who takes part. A store with other options is one more line here, and its targets, if it has any, are in targets.js
// under its name.

/**
 * @typedef {object} Subject
 * @property {string} name
 * @property {'engine' | 'variant' | 'form' | 'rival' | 'reference'} kind engines are ours and are rated, rivals are what they are rated
 *   by, references only stand beside; a variant is an engine with other options and is compared with the plain one; so is a form,
 *   which are entries of another kind in a store of the engine: it has no process of its own
 * @property {string} [of] the engine of a variant or form
 * @property {string} adapter a file in stores/
 * @property {object} options handed to the adapter
 * @property {import('../rivals/index.js').Rival} [package] what has to be installed for it
 */

/** @type {readonly Subject[]} */
export const subjects = [
  { name: 'btree', kind: 'engine', adapter: 'kvark', options: { engine: 'btree' } },
  { name: 'log', kind: 'engine', adapter: 'kvark', options: { engine: 'log' } },
  form('btree', 'table'),
  form('btree', 'ttl'),
  form('btree', 'table+ttl'),
  form('log', 'table'),
  form('log', 'ttl'),
  form('log', 'table+ttl'),
  variant('log', 'lz4', { compression: 'lz4' }),
  variant('log', 'deflate', { compression: 'deflate' }),
  variant('log', 'aes', { encrypted: true }),
  variant('log', 'lz4+aes', { compression: 'lz4', encrypted: true }),
  { name: 'lmdb', kind: 'rival', adapter: 'lmdb', options: {}, package: 'lmdb' },
  { name: 'level', kind: 'rival', adapter: 'level', options: {}, package: 'classic-level' },
  { name: 'sqlite', kind: 'rival', adapter: 'sqlite', options: {}, package: 'better-sqlite3' },
  { name: 'map+log', kind: 'reference', adapter: 'map-log', options: {} },
]

/**
 * @param {string} engine
 * @param {string} form
 * @param {object} options
 * @returns {Subject}
 */
function variant(engine, form, options) {
  return {
    name: `${engine}+${form}`,
    kind: 'variant',
    of: engine,
    adapter: 'kvark',
    options: { engine, ...options },
  }
}

/**
 * @param {string} engine
 * @param {string} name what the adapter calls it
 * @returns {Subject}
 */
function form(engine, name) {
  return { name: formName(engine, name), kind: 'form', of: engine, adapter: 'kvark', options: {} }
}

/**
 * @param {string} engine
 * @param {string} form
 */
export function formName(engine, form) {
  return `${engine}+${form}`
}
