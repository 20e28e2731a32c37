// @ts-check
// The parent's side of a subject's process.

import { fork } from 'node:child_process'
import { totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./subject-main.js', import.meta.url))

/** A `Map` of everything may be larger than what Node allows by itself. */
const HEAP_MIB = Math.floor(totalmem() / 2 ** 21)

export class SubjectProcess {
  constructor() {
    this.child = fork(program, { execArgv: ['--expose-gc', `--max-old-space-size=${HEAP_MIB}`] })
  }

  /**
   * Asks for one thing and waits for it.
   *
   * @param {'begin' | 'load' | 'measure' | 'bound' | 'close' | 'checkAll'} verb
   * @param {unknown} [argument] plain data
   * @returns {Promise<any>}
   */
  ask(verb, argument) {
    const { child } = this
    return new Promise((resolve, reject) => {
      const ended = (/** @type {number} */ code, /** @type {string} */ signal) => {
        reject(new Error(`its process ended with ${signal ?? code}`))
      }
      child.once('exit', ended)
      child.once('message', (message) => {
        child.off('exit', ended)
        const { result, error } = /** @type {{ result?: unknown, error?: string }} */ (message)
        if (error === undefined) resolve(result)
        else reject(new Error(error))
      })
      child.send({ verb, argument })
    })
  }

  /** Ends it; what it had open is closed first. */
  async stop() {
    await this.ask('close')
    const { child } = this
    await new Promise((resolve) => {
      child.once('exit', resolve)
      child.kill()
    })
  }

  kill() {
    this.child.kill('SIGKILL')
  }
}
