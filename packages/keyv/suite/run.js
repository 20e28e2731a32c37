// @ts-check
// Runs Keyv's own test suite on the built adapter: `npm run test:keyv`. What it needs is neither in the workspaces nor in the lock file;
// it is installed here, in exactly the versions of package.json and without their scripts, unless it is there already.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
/** @param {string} path */
const read = (path) => JSON.parse(readFileSync(`${folder}${path}`, 'utf8'))

/** @type {Record<string, string>} */
const wanted = read('package.json').dependencies
const isThere = Object.entries(wanted).every(([name, version]) => {
  const path = `node_modules/${name}/package.json`
  return existsSync(`${folder}${path}`) && read(path).version === version
})
if (!isThere) {
  const install = ['install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund']
  const shell = process.platform === 'win32'
  const { status } = spawnSync('npm', install, { cwd: folder, stdio: 'inherit', shell })
  if (status !== 0) process.exit(status ?? 1)
}
const vitest = `${folder}node_modules/vitest/vitest.mjs`
const run = [vitest, 'run', '--root', folder, '--config', `${folder}vitest.config.js`]
const { status } = spawnSync(process.execPath, run, { stdio: 'inherit' })
process.exit(status ?? 1)
