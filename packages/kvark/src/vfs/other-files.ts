/** Files of which some calls are carried out otherwise. Left out: handles. */

import type { Files } from './files.ts'

/** `own`: those calls; all others go to `files`. */
export function otherFiles(files: Files, own: Partial<Files>): Files {
  return {
    shareable: files.shareable,
    open: (path, mode) => files.open(path, mode),
    rename: (from, to) => files.rename(from, to),
    ...(files.link && { link: (from: string, to: string) => files.link!(from, to) }),
    remove: (path) => files.remove(path),
    list: (path) => files.list(path),
    makeFolder: (path) => files.makeFolder(path),
    removeFolder: (path) => files.removeFolder(path),
    syncFolder: (path) => files.syncFolder(path),
    stat: (path) => files.stat(path),
    lock: (path, timeoutMs, readOnly) => files.lock(path, timeoutMs, readOnly),
    ...own,
  }
}
