/** Opening and closing files in a routine that may be cut off while it waits for that. */

import { Effect, effect } from '../environment/routine.ts'
import type { FileHandle, Files, OpenMode } from './files.ts'

/** `files.open`; when the routine is ended before it gets the handle, that is closed. */
export function openFile(files: Files, path: string, mode: OpenMode): Effect<FileHandle> {
  const opening = files.open(path, mode)
  let handle: FileHandle | undefined
  return new Effect(
    opening.sync,
    async () => {
      handle = await opening.async()
      return handle
    },
    // What fails here nobody waits for.
    () =>
      void handle
        ?.close()
        .async()
        .catch(() => {}),
  )
}

/** Closes all of them, in one effect: a routine that is ended meanwhile leaves none of them open. */
export function closeAll(handles: Iterable<FileHandle>): Effect<void> {
  return effect(function* () {
    let failed = false
    let failure: unknown
    for (const handle of handles) {
      try {
        yield* handle.close()
      } catch (error) {
        if (!failed) failure = error
        failed = true
      }
    }
    if (failed) throw failure
  })
}
