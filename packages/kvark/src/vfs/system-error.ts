/**
 * Failures of the operating system as `KvarkError`: `NO_SPACE` where the disk or the quota is full, else `IO`, with the
 * path, the system's own code (`errno`), a sentence that says what happened and one that says what to do.
 *
 * The files in memory and the simulated ones make the same errors with `systemErrorOf`.
 */

import { KvarkError } from '../errors.ts'

interface Explanation {
  readonly what: string
  readonly todo: string
  /** The same call may succeed later. */
  readonly retryable?: boolean
}

/** Whether the store takes no more writes until it is resumed, its journal says. */
const FULL = 'Free some space.'
const SIGNS_OF_DAMAGE =
  'Look at the system log and check the device, then run `kvark verify`; replace a failing disk and restore from a backup.'

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  ENOSPC: { what: 'the disk is full', todo: FULL },
  EDQUOT: { what: 'the disk quota is used up', todo: FULL },
  EROFS: {
    what: 'the file system is mounted read-only',
    todo: 'Mount it for writing, or keep the store somewhere else.',
  },
  EMFILE: {
    what: 'this process has too many files open',
    todo: 'Raise its limit (`ulimit -n`), or close stores that are not needed.',
    retryable: true,
  },
  ENFILE: {
    what: 'the system has too many files open',
    todo: 'Raise the limit of the system (on Linux `sysctl fs.file-max`), or end programs that hold many files.',
    retryable: true,
  },
  ENOENT: {
    what: 'there is no such file or folder',
    todo: 'Check the path, and that nothing else removes files of the store.',
  },
  EEXIST: { what: 'the name is taken', todo: 'Remove what is there, or use another path.' },
  ENOTDIR: {
    what: 'a part of the path is not a folder',
    todo: 'Check the path: where a folder should be there is a file.',
  },
  EISDIR: {
    what: 'it is a folder',
    todo: 'Check the path: where a file should be there is a folder.',
  },
  ENOTEMPTY: {
    what: 'a folder with this name is in the way',
    todo: 'Remove it, or use another path.',
  },
  ENAMETOOLONG: { what: 'the path is too long', todo: 'Use a shorter one.' },
  ELOOP: { what: 'its symbolic links lead in a circle', todo: 'Correct the links.' },
  EFBIG: {
    what: 'the file is larger than the file system or the limit of this process allows',
    todo: 'Raise the limit (`ulimit -f`), or keep the store on another file system.',
  },
  EXDEV: {
    what: 'the two names are on different file systems',
    todo: 'Keep all files of a store on one file system.',
  },
  EBUSY: {
    what: 'another program uses it',
    todo: 'End that program, then try again.',
    retryable: true,
  },
  EBADF: {
    what: 'the file is not open for this',
    todo: 'It was closed, or opened only to read; open the store again.',
  },
  EINVAL: {
    what: 'the file system does not do this',
    todo: 'Keep the store on a local file system.',
  },
  ENOMEM: {
    what: 'the system is out of memory',
    todo: 'Free some memory, then try again.',
    retryable: true,
  },
  EAGAIN: { what: 'the system is busy', todo: 'Try again later.', retryable: true },
  EINTR: { what: 'it was interrupted', todo: 'Try again.', retryable: true },
  EIO: { what: 'the device failed to read or write', todo: SIGNS_OF_DAMAGE },
  ENXIO: { what: 'the device is gone', todo: SIGNS_OF_DAMAGE },
  ENODEV: { what: 'the device is gone', todo: SIGNS_OF_DAMAGE },
  ESTALE: {
    what: 'the file server no longer knows the file',
    todo: 'Mount the file system anew, then open the store again; a local disk is the better place for it.',
  },
}

/** The error for an errno. `action` completes "Cannot …" together with the path: `open`, `write to`. */
export function systemErrorOf(
  errno: string,
  action: string,
  path: string,
  cause?: unknown,
): KvarkError {
  const { what, todo, retryable = false } = explain(errno)
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'NO_SPACE' : 'IO'
  return new KvarkError(code, `Cannot ${action} ${path}: ${what} (${errno}). ${todo}`, {
    path,
    errno,
    retryable,
    cause,
  })
}

/** An error thrown by Node while doing `action` with `path`; a `KvarkError` stays what it is. */
export function systemError(error: unknown, action: string, path: string): KvarkError {
  if (error instanceof KvarkError) return error
  const errno = errnoOf(error)
  if (errno !== undefined) return systemErrorOf(errno, action, path, error)
  const message = error instanceof Error ? error.message : String(error)
  return new KvarkError('IO', `Cannot ${action} ${path}: ${message}`, { path, cause: error })
}

/** The operating system's code of an error, `undefined` where it has none. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const code = error instanceof KvarkError ? error.errno : (error as { code?: unknown }).code
  // Node's own codes, such as ERR_OUT_OF_RANGE, are no errno.
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

function explain(errno: string): Explanation {
  if (errno === 'EACCES' || errno === 'EPERM') {
    const uid = process.geteuid?.()
    const user =
      uid === undefined ? 'the user of this process' : `the user of this process (uid ${uid})`
    return {
      what: `${user} lacks the permission`,
      todo: 'Give that user read and write access to the file and its folder and search access to the folders above, or run as the owner of the store.',
    }
  }
  return (
    EXPLANATIONS[errno] ?? {
      what: 'the system refused it',
      todo: 'Look the code up, then try again.',
    }
  )
}
