/** Opening a file in a routine that may be cut off while it waits for it. */

import { Effect } from '../environment/routine.ts'
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
