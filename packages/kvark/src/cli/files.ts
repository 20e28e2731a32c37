/**
 * Files that a command reads or writes for the user (never those of a store).
 *
 * A file written here appears complete or not at all: it is written under a temporary name in the same folder, synced,
 * and renamed; who may read the one that it replaces, and nobody else, may read it. What is not a regular file (`/dev/null`, a named pipe) is written as it is, since a rename would replace it.
 */

import { createReadStream } from 'node:fs'
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { KvarkError } from '../index.ts'
import { fileError } from './errors.ts'
import type { Io } from './io.ts'

const PERMISSIONS = 0o777
const OWNERS = 0o600

/** Input as a stream of chunks, ended early when the command is interrupted; `-` is stdin. */
export interface Input {
  readonly stream: Readable
  /** Bytes to come, where that is known. */
  readonly bytes: number | undefined
}

export async function openInput(io: Io, file: string): Promise<Input> {
  // The signal tells only those who listen already.
  io.signal.throwIfAborted()
  if (file === '-') return { stream: stopping(io, io.stdin), bytes: undefined }
  try {
    const info = await stat(file)
    if (info.isDirectory())
      throw new KvarkError('IO', `Cannot read ${file}: it is a folder.`, { path: file })
    return {
      stream: stopping(io, createReadStream(file)),
      bytes: info.isFile() ? info.size : undefined,
    }
  } catch (error) {
    throw fileError(error, `read ${file}`, file)
  }
}

/** Everything of a file; `-` is stdin. */
export async function readInput(io: Io, file: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of inputChunks(await openInput(io, file), file)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export async function* inputChunks(input: Input, file: string): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of input.stream) yield chunk as Buffer
  } catch (error) {
    // An interruption comes out of the stream as what it was stopped with.
    throw (error as { code?: unknown }).code === undefined
      ? error
      : fileError(error, `read ${file}`, file)
  }
}

function stopping(io: Io, stream: Readable): Readable {
  const stop = (): void => {
    stream.destroy(io.signal.reason as Error)
  }
  io.signal.addEventListener('abort', stop, { once: true })
  stream.once('close', () => io.signal.removeEventListener('abort', stop))
  return stream
}

/** Writes `file` by what `fill` hands to `write`. */
export async function writeFile(
  file: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { path, temporary, mode } = await placeOf(file)
  let handle: FileHandle | undefined
  try {
    // At first its owner's alone: nobody else reads what was not theirs to read.
    handle = await open(temporary ?? path, temporary === undefined ? 'w' : 'wx', mode && OWNERS)
    if (mode !== undefined) await handle.chmod(mode)
    const target = handle
    await fill(async (bytes) => {
      await target.writeFile(bytes).catch((error: unknown) => {
        throw fileError(error, `write ${file}`, file)
      })
    })
    if (temporary !== undefined) await handle.sync()
    await handle.close()
    if (temporary !== undefined) await rename(temporary, path)
  } catch (error) {
    await handle?.close().catch(() => {})
    if (temporary !== undefined && handle !== undefined) await rm(temporary, { force: true })
    throw (error as { syscall?: unknown }).syscall === undefined
      ? error
      : fileError(error, `write ${file}`, file)
  }
}

interface Placed {
  /** Where the file really is, through links. */
  readonly path: string
  /** The name beside it; none for what must not be replaced. */
  readonly temporary: string | undefined
  /** Permissions of the file that is there. */
  readonly mode: number | undefined
}

async function placeOf(file: string): Promise<Placed> {
  let path = file
  let mode: number | undefined
  try {
    path = await realpath(file)
    const info = await stat(path)
    if (info.isDirectory())
      throw new KvarkError('IO', `Cannot write ${file}: it is a folder.`, { path: file })
    if (!info.isFile()) return { path, temporary: undefined, mode: undefined }
    mode = info.mode & PERMISSIONS
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw fileError(error, `write ${file}`, file)
  }
  return { path, temporary: `${path}.${process.pid}.tmp`, mode }
}
