import { open } from 'kvark'

const db = await open('./data', { values: 'json' })

await db.put('user:1', { name: 'Alice' }) // on disk once the promise resolves
console.log(await db.get('user:1')) // { name: 'Alice' }
console.log(await db.get('user:9')) // undefined

await db.batch([
  { type: 'put', key: 'user:2', value: { name: 'Bob' } },
  { type: 'put', key: 'user:3', value: { name: 'Carol' } },
  { type: 'delete', key: 'user:1' },
]) // all of them or none, whatever happens

// Keys come in order: by prefix, by range, backwards.
console.log(await db.keys({ prefix: 'user:' }).nextMany(10)) // [ 'user:2', 'user:3' ]
console.log(await db.first({ gt: 'user:2' })) // [ 'user:3', { name: 'Carol' } ]
const backwards = db.entries({ lt: 'user:3', reverse: true })
for await (const [key, value] of backwards) console.log(key, value) // user:2 { name: 'Bob' }

await db.close()
