/**
 * Packages that are loaded when they are first needed, at once, since `openSync` cannot wait.
 *
 * 1. They are looked for from here. In a file of a bundler that may be elsewhere than where kvark was installed; where such a file is CommonJS, nothing
 *    tells where it is, and the program's own place has to do.
 */

import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { KvarkError } from '../errors.ts'

/** The package `name`; `UNSUPPORTED` where it is not installed. `user`: what needs it, for the message. */
export function loadPackage(name: string, user: string): unknown {
  const here = (import.meta as { readonly url?: string }).url
  try {
    return createRequire(here ?? resolve(process.argv[1] ?? '.'))(name)
  } catch (error) {
    throw new KvarkError(
      'UNSUPPORTED',
      `${user} needs the package '${name}', which cannot be loaded. Install it beside kvark: npm install ${name}`,
      { expected: name, cause: error },
    )
  }
}
