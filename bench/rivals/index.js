// @ts-check
// The databases that the benchmarks compare with. They have native parts, so they are neither in the
// workspaces nor in the lock file; the first benchmark that needs one installs them here, in exactly the versions of
// package.json. They are optional dependencies, so that one that cannot be built does not keep the others away.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** @typedef {'better-sqlite3' | 'classic-level' | 'lmdb'} Rival */

const folder = fileURLToPath(new URL('.', import.meta.url))
const require = createRequire(import.meta.url)

/** @type {Record<Rival, string>} */
export const versions = require('./package.json').optionalDependencies

let installed = false

/**
 * Loads a rival, installing all of them when it is missing.
 *
 * @param {Rival} name
 * @returns {{ module: any } | { missing: string }} the module, or why there is none
 */
export function rival(name) {
  const loaded = attempt(name)
  if ('module' in loaded) return loaded
  if (!installed) {
    installed = true
    npm('install')
    // Builds again what was built for another Node.
    if ('missing' in attempt(name)) npm('rebuild')
  }
  return attempt(name)
}

/**
 * Loads a rival that has been installed.
 *
 * @param {Rival} name
 * @returns {any}
 */
export function load(name) {
  const { version } = JSON.parse(readFileSync(`${folder}node_modules/${name}/package.json`, 'utf8'))
  if (version !== versions[name]) throw new Error(`${name} is ${version}, not ${versions[name]}`)
  const loaded = require(name)
  // It loads its native part only when it is used.
  if (name === 'better-sqlite3') new loaded(':memory:').close()
  return loaded
}

/**
 * @param {Rival} name
 * @returns {{ module: any } | { missing: string }}
 */
function attempt(name) {
  try {
    return { module: load(name) }
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error)
    if (code === 'ENOENT') return { missing: 'it is not installed (npm install in bench/rivals)' }
    return { missing: message.split('\n')[0] ?? '' }
  }
}

/** @param {'install' | 'rebuild'} command */
function npm(command) {
  spawnSync('npm', [command, '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}
