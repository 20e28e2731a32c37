// @ts-check
// The process in which one subject is measured: does what the parent asks for, one thing after the other.

import { bounds } from './bounds.js'
import { rows } from './rows.js'
import { Work } from './work.js'

/** @type {Work | undefined} */
let begun

const verbs = {
  /** @param {import('./work.js').Task} task */
  async begin(task) {
    begun = new Work(task, await import(`./stores/${task.subject.adapter}.js`))
    return begun.adapter.durabilities
  },
  load: () => work().load(),
  /** @param {{ name: string, seed: number, share: number }} args */
  async measure({ name, seed, share }) {
    const row = rows.find((one) => one.name === name)
    if (row === undefined) throw new Error(`there is no row '${name}'`)
    if (row.store === undefined) await work().use(row.durability ?? 'none')
    globalThis.gc?.()
    const value = await row.measure({ work: work(), row, seed, share })
    await work().settle()
    return value
  },
  /** @param {string} name */
  bound(name) {
    globalThis.gc?.()
    return bounds[name]?.(work())
  },
  close: () => work().close(),
  checkAll: () => work().checkAll(),
}

function work() {
  if (begun === undefined) throw new Error('nothing has begun')
  return begun
}

process.on('message', (message) => {
  void answer(/** @type {Question} */ (message))
})

process.once('disconnect', () => process.exit())

/**
 * @typedef {{ verb: keyof typeof verbs, argument: any }} Question
 * @param {Question} question
 */
async function answer({ verb, argument }) {
  try {
    process.send?.({ result: await verbs[verb](argument) })
  } catch (error) {
    process.send?.({ error: /** @type {Error} */ (error).stack })
  }
}
