// @ts-check
// What the stores hold. `share` of the entries asked for, so that large values do not take ten times the room.

/**
 * @typedef {object} DataSet
 * @property {string} name
 * @property {'text' | 'bytes'} form
 * @property {number} valueBytes
 * @property {number} share
 */

/** @type {readonly DataSet[]} */
export const dataSets = [
  { name: '100 B strings', form: 'text', valueBytes: 100, share: 1 },
  { name: '100 B bytes', form: 'bytes', valueBytes: 100, share: 1 },
  { name: '4 KiB strings', form: 'text', valueBytes: 4096, share: 0.1 },
  { name: '4 KiB bytes', form: 'bytes', valueBytes: 4096, share: 0.1 },
]
