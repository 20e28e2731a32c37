/**
 * The lines that were typed at the prompt of `repl`, kept between two runs: a text file that only its owner can read, one line each, the
 * newest last. Nothing depends on it: where it cannot be read or written there is no history.
 */

import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Io } from './io.ts'

/** So many lines are kept. */
export const HISTORY_LINES = 1000

/** Where it is: in the user's folder for state. */
export function historyFile(env: Io['env']): string {
  const { XDG_STATE_HOME, LOCALAPPDATA } = env
  if (XDG_STATE_HOME) return join(XDG_STATE_HOME, 'kvark', 'history')
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'kvark', 'history')
  return join(env.HOME || homedir(), '.local', 'state', 'kvark', 'history')
}

/** The newest line first, as `readline` has them. */
export async function readHistory(file: string): Promise<string[]> {
  try {
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '')
    return lines.slice(-HISTORY_LINES).reverse()
  } catch {
    return []
  }
}

/** Whether the lines, the newest first, could be written. Those that begin with a blank are not kept. */
export async function writeHistory(file: string, history: readonly string[]): Promise<boolean> {
  const lines = history.filter((line) => !/^\s|^$/.test(line)).slice(0, HISTORY_LINES)
  const temporary = `${file}.${process.pid}.tmp`
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(
      temporary,
      [...lines].reverse().map((line) => `${line}\n`),
      { mode: 0o600 },
    )
    await chmod(temporary, 0o600)
    await rename(temporary, file)
    return true
  } catch {
    await rm(temporary, { force: true }).catch(() => {})
    return false
  }
}
