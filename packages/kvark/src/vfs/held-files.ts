/**
 * Files of a store whose lock is held: before a name in its folder is made, changed or taken away, it is looked whether the folder is
 * still the one that was locked.
 *
 *   open to write, rename, remove ─► does the lock file still have its name? ─► yes: files below
 *                                                                          └──► no: IO, and nothing has changed
 *
 * 1. Whoever removes or moves the folder of an open store takes the lock away with it. Somebody else may have made a store in its place
 *    by then, whose files have the same names: they are not touched.
 * 2. Files that are open are those that they were, wherever they are now.
 *
 * Left out: what happens between the look and the call; other threads, which make files with temporary names only; `Files` of users
 * that cannot tell.
 */

import { Effect } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { FileLock, Files } from './files.ts'
import { otherFiles } from './other-files.ts'

/** `folder`: the one with the lock. */
export function heldFiles(files: Files, lock: FileLock, folder: string): Files {
  const check = (): void => {
    if (lock.isHeld?.() !== false) return
    throw new KvarkError(
      'IO',
      `The folder ${folder} was removed, moved or replaced while its store was open, or its lock file was: nothing more is written there. Close the store and open the one that is there now.`,
      { path: folder },
    )
  }
  const guarded = <T>({ sync, async, drop }: Effect<T>): Effect<T> =>
    new Effect(
      () => {
        check()
        return sync()
      },
      async () => {
        check()
        return await async()
      },
      drop,
    )
  return otherFiles(files, {
    open: (path, mode) =>
      mode === 'read' ? files.open(path, mode) : guarded(files.open(path, mode)),
    rename: (from, to) => guarded(files.rename(from, to)),
    ...(files.link && { link: (from: string, to: string) => guarded(files.link!(from, to)) }),
    remove: (path) => guarded(files.remove(path)),
  })
}
