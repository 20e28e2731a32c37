/**
 * The world as a salvage sees it, whose disk may be failing: what cannot be read is there, but damaged.
 *
 *   read ─► EIO ─► piece by piece ─► bytes that no block has, where a piece cannot be read
 *
 * 1. Only files opened to `read` are treated so, and only where the device itself fails (`EIO`).
 * 2. Every pause may end the work: with the reason of the signal.
 *
 * Left out: threads. Nobody else sees files like that, so jobs run in this one.
 */

import type { Environment } from '../environment/environment.ts'
import { Effect, effect, type Routine } from '../environment/routine.ts'
import type { FileHandle, Files } from '../vfs/files.ts'
import { otherFiles } from '../vfs/other-files.ts'
import { errnoOf } from '../vfs/system-error.ts'

/** What a device refuses to read, it refuses in such pieces or larger ones. */
const PIECE_BYTES = 4096
/** Zeros would look like nothing, where something was. */
const UNREADABLE = 0xff

/** `heard` is told of the bytes that were read. */
export function salvagingEnvironment(
  environment: Environment,
  heard: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Environment {
  const { pause } = environment
  return {
    files: salvagingFiles(environment.files, heard),
    now: () => environment.now(),
    monotonic: () => environment.monotonic(),
    random: (length) => environment.random(length),
    defer: (callback) => environment.defer(callback),
    pause: new Effect(
      () => {
        signal?.throwIfAborted()
        pause.sync()
      },
      async () => {
        signal?.throwIfAborted()
        await pause.async()
      },
    ),
    timer: (ms, callback) => environment.timer(ms, callback),
    warn: (message) => environment.warn(message),
  }
}

function salvagingFiles(files: Files, heard: (bytes: number) => void): Files {
  return otherFiles(files, {
    shareable: false,
    open: (path, mode) =>
      mode === 'read'
        ? effect(function* () {
            return new SalvagingHandle(yield* files.open(path, mode), heard)
          })
        : files.open(path, mode),
  })
}

class SalvagingHandle implements FileHandle {
  readonly path: string
  readonly #handle: FileHandle
  readonly #heard: (bytes: number) => void

  constructor(handle: FileHandle, heard: (bytes: number) => void) {
    this.path = handle.path
    this.#handle = handle
    this.#heard = heard
  }

  read(target: Uint8Array, offset: number, length: number, position: number): Effect<number> {
    return effect(() => this.#read(target, offset, length, position))
  }

  write(source: Uint8Array, offset: number, length: number, position: number): Effect<void> {
    return this.#handle.write(source, offset, length, position)
  }

  sync(): Effect<void> {
    return this.#handle.sync()
  }

  size(): Effect<number> {
    return this.#handle.size()
  }

  truncate(size: number): Effect<void> {
    return this.#handle.truncate(size)
  }

  close(): Effect<void> {
    return this.#handle.close()
  }

  *#read(target: Uint8Array, offset: number, length: number, position: number): Routine<number> {
    let read: number
    try {
      read = yield* this.#handle.read(target, offset, length, position)
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error
      read = yield* this.#readPieces(target, offset, length, position)
    }
    this.#heard(read)
    return read
  }

  *#readPieces(
    target: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Routine<number> {
    const all = Math.min(length, Math.max(0, (yield* this.#handle.size()) - position))
    for (let done = 0; done < all; ) {
      const at = offset + done
      // Up to where the next piece of the file begins.
      const room = PIECE_BYTES - ((position + done) % PIECE_BYTES)
      const part = Math.min(room, all - done)
      try {
        yield* this.#handle.read(target, at, part, position + done)
      } catch (error) {
        if (errnoOf(error) !== 'EIO') throw error
        target.fill(UNREADABLE, at, at + part)
      }
      done += part
    }
    return all
  }
}
