/**
 * An open file of the machine: a plain file descriptor, so that both drivers (at once, awaited) work on the same one.
 *
 * 1. Short reads and writes are continued; a write that makes no progress is an error, never an endless loop.
 * 2. A descriptor is closed only when no call runs on it any more: the system gives the number to the next file that is
 *    opened, and a late write would go there. `close` refuses new calls at once and waits for the running ones; under the
 *    sync driver it cannot wait, so the last of them closes.
 */

import fs from 'node:fs'
import { Effect } from '../environment/routine.ts'
import type { FileHandle } from './files.ts'
import { errnoOf, systemError, systemErrorOf } from './system-error.ts'

/** The most that one system call is asked for; Linux moves at most 2 GiB − 4 KiB. */
const CALL_BYTES = 2 ** 30

/** So often in a row a call may be interrupted (EINTR, EAGAIN) before that is an error. */
const INTERRUPTIONS = 1000

type Done = (error: Error | null, result?: number) => void
type MoveSync = (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => number
type Move = (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
  done: Done,
) => void

export class NodeHandle implements FileHandle {
  readonly path: string
  readonly #fd: number
  #closed = false
  /** Calls of the async driver under way. */
  #running = 0
  /** Called when the last of them has ended after `close`. */
  #whenIdle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  read(target: Uint8Array, offset: number, length: number, position: number): Effect<number> {
    return new Effect(
      () => this.#moveSync(fs.readSync, 'read', target, offset, length, position),
      () => this.#move(fs.read, 'read', target, offset, length, position),
    )
  }

  write(source: Uint8Array, offset: number, length: number, position: number): Effect<void> {
    return new Effect(
      () => {
        this.#checkWritten(
          this.#moveSync(fs.writeSync, 'write to', source, offset, length, position),
          length,
        )
      },
      async () => {
        this.#checkWritten(
          await this.#move(fs.write, 'write to', source, offset, length, position),
          length,
        )
      },
    )
  }

  sync(): Effect<void> {
    return new Effect(
      () => this.#callSync('sync', () => fs.fdatasyncSync(this.#fd)),
      () => this.#call<void>('sync', (done) => fs.fdatasync(this.#fd, done)),
    )
  }

  size(): Effect<number> {
    return new Effect(
      () => this.#callSync('look at', () => fs.fstatSync(this.#fd).size),
      async () => (await this.#call<fs.Stats>('look at', (done) => fs.fstat(this.#fd, done))).size,
    )
  }

  truncate(size: number): Effect<void> {
    return new Effect(
      () => this.#callSync('resize', () => fs.ftruncateSync(this.#fd, size)),
      () => this.#call<void>('resize', (done) => fs.ftruncate(this.#fd, size, done)),
    )
  }

  close(): Effect<void> {
    return new Effect(
      () => {
        if (this.#closed) return
        this.#closed = true
        if (this.#running > 0) {
          // Nobody is left to hear of a failure here; what had to be durable was synced.
          this.#whenIdle = () => fs.close(this.#fd, () => {})
          return
        }
        try {
          fs.closeSync(this.#fd)
        } catch (error) {
          throw systemError(error, 'close', this.path)
        }
      },
      () => (this.#closing ??= this.#close()),
    )
  }

  async #close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
    }
    await new Promise<void>((resolve, reject) => {
      fs.close(this.#fd, (error) => {
        if (error) reject(systemError(error, 'close', this.path))
        else resolve()
      })
    })
  }

  #checkOpen(action: string): void {
    if (this.#closed) throw systemErrorOf('EBADF', action, this.path)
  }

  #end(): void {
    this.#running--
    if (this.#running === 0) this.#whenIdle?.()
  }

  #callSync<T>(action: string, call: () => T): T {
    this.#checkOpen(action)
    try {
      return call()
    } catch (error) {
      throw systemError(error, action, this.path)
    }
  }

  #call<T>(
    action: string,
    start: (done: (error: Error | null, result?: T) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#checkOpen(action)
      this.#running++
      try {
        start((error, result) => {
          this.#end()
          if (error) reject(systemError(error, action, this.path))
          else resolve(result as T)
        })
      } catch (error) {
        this.#end()
        throw systemError(error, action, this.path)
      }
    })
  }

  /** Moves bytes until `length` are moved or a call moves none; returns how many. */
  #moveSync(
    move: MoveSync,
    action: string,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): number {
    this.#checkOpen(action)
    let moved = 0
    let interruptions = 0
    while (moved < length) {
      try {
        const count = Math.min(length - moved, CALL_BYTES)
        const step = move(this.#fd, bytes, offset + moved, count, position + moved)
        if (step === 0) break
        moved += step
        interruptions = 0
      } catch (error) {
        if (!isInterruption(error) || ++interruptions === INTERRUPTIONS) {
          throw systemError(error, action, this.path)
        }
      }
    }
    return moved
  }

  #move(
    move: Move,
    action: string,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      this.#checkOpen(action)
      let moved = 0
      let interruptions = 0
      const finish = (error: unknown): void => {
        this.#end()
        if (error === undefined) resolve(moved)
        else reject(systemError(error, action, this.path))
      }
      const step = (): void => {
        if (moved === length) {
          finish(undefined)
          return
        }
        try {
          const count = Math.min(length - moved, CALL_BYTES)
          move(this.#fd, bytes, offset + moved, count, position + moved, done)
        } catch (error) {
          finish(error)
        }
      }
      const done: Done = (error, count = 0) => {
        if (error) {
          if (isInterruption(error) && ++interruptions < INTERRUPTIONS) step()
          else finish(error)
          return
        }
        moved += count
        interruptions = 0
        if (count === 0) finish(undefined)
        else step()
      }
      this.#running++
      step()
    })
  }

  #checkWritten(moved: number, length: number): void {
    if (moved < length) throw systemErrorOf('EIO', 'write to', this.path)
  }
}

function isInterruption(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'EINTR' || errno === 'EAGAIN'
}
