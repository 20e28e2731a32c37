/**
 * The files as one process sees them, which may be killed, and whose awaited calls take a while.
 *
 * 1. Some awaited calls happen at the next opportunity, others only after the event loop has gone round a few times, so
 *    that much else gets in between. Calls on one file begun one after the other may happen in another order. What is done
 *    at once stays so; of changes of names, and of some syncs, it is heard as late.
 * 2. After `kill` no call of the process reaches the files, those under way neither, and its locks are free.
 */

import type { SeededRandom } from '../../bytes/random.ts'
import { Effect } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import type { FileHandle, FileLock, Files } from '../../vfs/files.ts'

const LONGEST_ROUNDS = 3

export interface SlowProcess {
  readonly files: Files
  kill(): void
}

export function slowProcess(files: Files, random: SeededRandom): SlowProcess {
  const locks = new Set<FileLock>()
  let killed = false
  const checkAlive = (): void => {
    if (killed) throw new KvarkError('IO', 'the process is killed')
  }
  const wait = async (): Promise<void> => {
    const rounds = random.chance(0.5) ? 0 : 1 + random.below(LONGEST_ROUNDS)
    for (let round = 0; round < rounds; round++) await nextRound()
  }
  const slow = <T>({ sync, async }: Effect<T>, atOnce = false): Effect<T> =>
    new Effect(
      () => {
        checkAlive()
        return sync()
      },
      async () => {
        if (!atOnce) await wait()
        checkAlive()
        try {
          return await async()
        } finally {
          if (atOnce) await wait()
        }
      },
    )
  const map = <T, U>({ sync, async }: Effect<T>, wrap: (value: T) => U): Effect<U> =>
    new Effect(
      () => wrap(sync()),
      async () => wrap(await async()),
    )
  const slowHandle = (handle: FileHandle): FileHandle => {
    let running = 0
    let closing = false
    const closeWhenIdle = (): void => {
      if (closing && running === 0) handle.close().sync()
    }
    const refuse = (): never => {
      throw new KvarkError('IO', `${handle.path} is closed`, { path: handle.path, errno: 'EBADF' })
    }
    const counted = <T>(effect: Effect<T>, atOnce = false): Effect<T> => {
      const { sync, async } = slow(effect, atOnce)
      return new Effect(
        () => (closing ? refuse() : sync()),
        async () => {
          if (closing) return refuse()
          running++
          try {
            return await async()
          } finally {
            running--
            closeWhenIdle()
          }
        },
      )
    }
    return {
      path: handle.path,
      read: (...args) => counted(handle.read(...args)),
      write: (...args) => counted(handle.write(...args)),
      sync: () => counted(handle.sync(), random.chance(0.5)),
      size: () => counted(handle.size()),
      truncate: (size) => counted(handle.truncate(size)),
      // What is under way is carried out; the last of it closes.
      close: () => {
        const begin = (): void => {
          closing = true
          closeWhenIdle()
        }
        return slow(new Effect(begin, async () => begin()))
      },
    }
  }
  const slowLock = (lock: FileLock): FileLock => {
    locks.add(lock)
    return { ...lock, release: () => slow(map(lock.release(), () => void locks.delete(lock))) }
  }
  const slowed: Files = {
    shareable: files.shareable,
    open: (path, mode) => slow(map(files.open(path, mode), slowHandle), mode === 'create'),
    rename: (from, to) => slow(files.rename(from, to), true),
    remove: (path) => slow(files.remove(path), true),
    list: (folder) => slow(files.list(folder)),
    makeFolder: (path) => slow(files.makeFolder(path)),
    removeFolder: (path) => slow(files.removeFolder(path)),
    syncFolder: (path) => slow(files.syncFolder(path)),
    stat: (path) => slow(files.stat(path)),
    lock: (path, timeoutMs, readOnly) => slow(map(files.lock(path, timeoutMs, readOnly), slowLock)),
  }
  return {
    files: slowed,
    kill: () => {
      killed = true
      for (const lock of locks) lock.release().sync()
    },
  }
}

function nextRound(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
