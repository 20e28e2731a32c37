import { open } from 'kvark'

const db = await open('./data', { values: 'json' })

await db.put('user:1', { name: 'Alice' }) // on disk once the promise resolves
console.log(await db.get('user:1')) // { name: 'Alice' }
console.log(await db.get('user:2')) // undefined

await db.batch([
  { type: 'put', key: 'user:2', value: { name: 'Bob' } },
  { type: 'delete', key: 'user:1' },
]) // both or neither, whatever happens
for await (const [key, value] of db.entries()) console.log(key, value) // user:2 { name: 'Bob' }

await db.close()
