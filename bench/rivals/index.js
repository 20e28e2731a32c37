// @ts-check
// The databases that the benchmarks compare with. They have native parts, so they are neither in the
// workspaces nor in the lock file; the first benchmark that needs one installs them here.

import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const require = createRequire(import.meta.url)

/**
 * Loads a rival, installing all of them when it is missing.
 *
 * @param {'better-sqlite3' | 'classic-level' | 'lmdb'} name
 * @returns {{ module: unknown } | { missing: string }} the module, or why there is none
 */
export function rival(name) {
  const loaded = load(name)
  if ('module' in loaded) return loaded
  const { status, stderr } = spawnSync(
    'npm',
    ['install', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'],
    { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] },
  )
  if (status !== 0)
    return { missing: `npm install failed: ${(stderr ?? '').trim().split('\n')[0]}` }
  return load(name)
}

/**
 * @param {string} name
 * @returns {{ module: unknown } | { missing: string }}
 */
function load(name) {
  try {
    return { module: require(name) }
  } catch (error) {
    return { missing: /** @type {Error} */ (error).message.split('\n')[0] ?? '' }
  }
}
