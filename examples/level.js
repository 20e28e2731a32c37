// A program written for classic-level. All that was changed is its import.
//
//   node examples/level.js

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level as ClassicLevel } from '@kvark/level' // was: import { ClassicLevel } from 'classic-level'

/** @typedef {{ name: string, price: number, tags: string[] }} Product */
/** @typedef {ClassicLevel<string, unknown>} Shop */
/**
 * @template V
 * @typedef {import('abstract-level').AbstractSublevel<Shop, string | Uint8Array, string, V>} Part
 */

const folder = await mkdtemp(join(tmpdir(), 'level-example-'))
const location = join(folder, 'shop')

/** @type {Shop} */
const db = new ClassicLevel(location, { valueEncoding: 'json', cacheSize: 16 * 1024 * 1024 })
/** @type {Part<Product>} */
const products = db.sublevel('product', { valueEncoding: 'json' })
/** @type {Part<string>} */
const byTag = db.sublevel('tag', { valueEncoding: 'utf8' }) // 'light p1': 'p1'
/** @type {Part<Buffer>} */
const images = db.sublevel('image', { valueEncoding: 'buffer' })

/**
 * Product and index in one step.
 * @param {string} id
 * @param {Product} product
 */
async function save(id, product) {
  const old = await products.get(id)
  const batch = db.batch()
  for (const tag of old?.tags ?? []) batch.del(`${tag} ${id}`, { sublevel: byTag })
  batch.put(id, product, { sublevel: products })
  for (const tag of product.tags) batch.put(`${tag} ${id}`, id, { sublevel: byTag })
  await batch.write({ sync: true })
}

/** @param {string} tag */
async function tagged(tag) {
  const ids = await byTag.values({ gte: `${tag} `, lt: `${tag}!` }).all()
  return (await products.getMany(ids)).map((product) => product?.name)
}

// No open(): operations wait until the database is open.
await save('p1', { name: 'Lamp', price: 40, tags: ['home', 'light'] })
await save('p2', { name: 'Candle', price: 4, tags: ['light'] })
await save('p3', { name: 'Chair', price: 90, tags: ['home'] })
await images.put('p1', Buffer.from([1, 2, 3]))
assert.deepEqual(await tagged('light'), ['Lamp', 'Candle'])

await save('p1', { name: 'Lamp', price: 35, tags: ['light', 'sale'] })
assert.deepEqual(await tagged('home'), ['Chair'])
assert.deepEqual(await images.get('p1'), Buffer.from([1, 2, 3]))
assert.equal(await products.get('p9'), undefined)
assert.deepEqual(await products.hasMany(['p1', 'p9']), [true, false])

// A fixed view, while the prices change.
const snapshot = db.snapshot()
for await (const [id, product] of products.iterator()) {
  await products.put(id, { ...product, price: product.price * 2 })
}
/** @param {{ snapshot?: typeof snapshot }} [options] */
async function total(options = {}) {
  let sum = 0
  for await (const { price } of products.values(options)) sum += price
  return sum
}
assert.deepEqual([await total({ snapshot }), await total()], [129, 258])
await snapshot.close()

// Page by page, backwards, and on from a key.
const iterator = products.keys({ reverse: true })
assert.deepEqual(await iterator.nextv(2), ['p3', 'p2'])
iterator.seek('p2')
assert.equal(await iterator.next(), 'p2')
await iterator.close()

// A second one has to wait until the first is closed.
const second = new ClassicLevel(location)
await assert.rejects(second.open(), (/** @type {any} */ { code, cause }) => {
  return code === 'LEVEL_DATABASE_NOT_OPEN' && cause.code === 'LEVEL_LOCKED'
})

// What was written is there when it is opened again.
await byTag.clear()
await db.close()
await db.open()
assert.deepEqual(await db.keys().all(), ['!image!p1', '!product!p1', '!product!p2', '!product!p3'])
await db.close()

await ClassicLevel.destroy(location)
await rm(folder, { recursive: true })
console.log('The shop is as it should be.')
