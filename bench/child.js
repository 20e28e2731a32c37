// @ts-check
// Measured work runs in processes of its own, so that neither heap nor compiled code of one part is in the way of
// another, and so that it can be killed.
//
//   inChild(import.meta.url, 'load', { … })   runs the exported function `load` of that file; its result is sent back

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./child-main.js', import.meta.url))

/**
 * Runs an exported function of a file in a child process and gives its result.
 *
 * @param {string} file its `import.meta.url`
 * @param {string} part the function's name
 * @param {object} args plain data
 * @param {{ kill?: boolean, execArgv?: string[] }} [options] kill: end the child with SIGKILL as soon as the result is
 *   there, instead of letting it come to its end
 * @returns {Promise<any>}
 */
export function inChild(file, part, args, { kill = false, execArgv = [] } = {}) {
  return new Promise((resolve, reject) => {
    const child = fork(program, [file, part, JSON.stringify(args)], { execArgv })
    /** @type {{ result: unknown } | undefined} */
    let answer
    child.on('message', (message) => {
      answer = /** @type {{ result: unknown }} */ (message)
      if (kill) child.kill('SIGKILL')
      else child.disconnect()
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      if (answer && (kill || code === 0)) resolve(answer.result)
      else reject(new Error(`'${part}' ended with ${signal ?? code}`))
    })
  })
}
