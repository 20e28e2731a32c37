// @ts-check
// What is left of a get when all is left out that makes a store: no versions, no expiry, no checks, nothing that changes.
//
//   key ─► hash ─► slot: tag, entry ─► │ key 16 B │ value │, all of one size ─► the value, as a text or a copy
//
// Two reads that depend on each other, at random places of more memory than the processor has cache, and the value that
// is made: on one machine no get is much faster than this.

import { KEY_BYTES } from './data.js'

/** At most half of the slots are taken. */
const SLOTS_PER_ENTRY = 2
const NONE = 0

export class BareGet {
  /**
   * @param {number} entries
   * @param {number} valueBytes
   */
  constructor(entries, valueBytes) {
    this.size = 8 * Math.ceil((KEY_BYTES + valueBytes) / 8)
    this.valueBytes = valueBytes
    this.memory = Buffer.alloc(entries * this.size)
    const slots = 2 ** Math.ceil(Math.log2(SLOTS_PER_ENTRY * entries))
    this.mask = slots - 1
    this.slots = new Uint32Array(2 * slots)
    this.count = 0
  }

  /**
   * @param {string} key one that is not there
   * @param {string | Uint8Array} value ASCII, where it is a text
   */
  put(key, value) {
    const at = this.count++ * this.size
    this.memory.write(key, at, 'latin1')
    if (typeof value === 'string') this.memory.write(value, at + KEY_BYTES, 'latin1')
    else this.memory.set(value, at + KEY_BYTES)
    const { slots, mask } = this
    const hash = hashOf(key)
    let slot = hash & mask
    while (slots[2 * slot + 1] !== NONE) slot = (slot + 1) & mask
    slots[2 * slot] = hash
    slots[2 * slot + 1] = this.count
  }

  /** @param {string} key */
  text(key) {
    const at = this.find(key)
    return at < 0 ? undefined : this.memory.toString('latin1', at, at + this.valueBytes)
  }

  /** @param {string} key */
  bytes(key) {
    const at = this.find(key)
    return at < 0
      ? undefined
      : Uint8Array.prototype.slice.call(this.memory, at, at + this.valueBytes)
  }

  /**
   * Where the value is; −1: there is none.
   *
   * @param {string} key
   */
  find(key) {
    const { slots, mask } = this
    const hash = hashOf(key)
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = /** @type {number} */ (slots[2 * slot + 1])
      if (entry === NONE) return -1
      if (slots[2 * slot] !== hash) continue
      const at = (entry - 1) * this.size
      if (this.isKey(key, at)) return at + KEY_BYTES
    }
  }

  /**
   * @param {string} key
   * @param {number} at
   */
  isKey(key, at) {
    for (let i = 0; i < KEY_BYTES; i++) if (this.memory[at + i] !== key.charCodeAt(i)) return false
    return true
  }
}

/**
 * MurmurHash3 of four characters a step.
 *
 * @param {string} key ASCII, of `KEY_BYTES`
 */
function hashOf(key) {
  let hash = 0
  for (let i = 0; i < KEY_BYTES; i += 4) {
    const word =
      key.charCodeAt(i) |
      (key.charCodeAt(i + 1) << 8) |
      (key.charCodeAt(i + 2) << 16) |
      (key.charCodeAt(i + 3) << 24)
    const scrambled = Math.imul(word, 0xcc9e2d51)
    hash ^= Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593)
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
