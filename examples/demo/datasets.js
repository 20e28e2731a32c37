// What the demo stores: two sets of real entries. Each can be read again from its source as often as needed, so that
// what a store gives back is compared with the source and not with a copy in memory.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import wordListPath from 'word-list'

/**
 * @typedef {{ line: number } | { bytes: number, sha256: string }} Value
 * @typedef {object} Dataset
 * @property {string} name
 * @property {string} about
 * @property {() => AsyncIterable<[key: string, value: Value]>} read
 */

const root = fileURLToPath(new URL('../..', import.meta.url))

/** @type {Dataset} */
export const words = {
  name: 'words',
  about: 'the npm word list: word → its line in the list',
  async *read() {
    let line = 0
    for await (const word of createInterface({ input: createReadStream(wordListPath) })) {
      line++
      if (word !== '') yield [word, { line }]
    }
  },
}

/** @type {Dataset} */
export const files = {
  name: 'files',
  about: 'the files under node_modules: path → size and SHA-256',
  async *read() {
    for await (const path of walk('node_modules')) yield [path, await digest(join(root, path))]
  },
}

/**
 * All regular files below a folder, one folder at a time. Links are not followed; `.cache` is left out, because it changes
 * under our hands.
 * @param {string} folder
 * @returns {AsyncGenerator<string>}
 */
async function* walk(folder) {
  const children = await readdir(join(root, folder), { withFileTypes: true })
  for (const child of children) {
    const path = `${folder}/${child.name}`
    if (child.isFile()) yield path.replaceAll(sep, '/')
    else if (child.isDirectory() && child.name !== '.cache') yield* walk(path)
  }
}

/**
 * Size and SHA-256 of a file, read piece by piece.
 * @param {string} path
 */
async function digest(path) {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of createReadStream(path)) {
    hash.update(piece)
    bytes += piece.length
  }
  return { bytes, sha256: hash.digest('hex') }
}
