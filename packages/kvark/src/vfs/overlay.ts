/**
 * Files that can be read and seem to be written: what is written, renamed, cut or removed is kept in memory and gone in the end. So
 * a store is opened with `readOnly` by any engine, recovery and all, and nothing on the disk changes.
 *
 *   below   ──────────────────────────────   files as they are, opened to read
 *   above      ▓▓▓▓      ▓▓        ×         parts written, names given and taken away
 *
 * 1. Nothing is asked of the files below but to read, list and look.
 * 2. A file that was written to reads as a file would: later parts hide earlier ones, and what was cut off is zero when
 *    the file grows again.
 *
 * Left out: locks, which the store takes of the files below; and that names change at once, for nobody else sees them.
 */

import { Effect, effect, immediate, type Routine } from '../environment/routine.ts'
import type { FileHandle, FileLock, FileStat, Files, OpenMode } from './files.ts'
import { systemErrorOf } from './system-error.ts'

/** What is known of a file beyond what is below: shared by all its handles. */
interface Layer {
  /** The file below; absent: a new one. */
  readonly below: string | undefined
  /** Bytes of the file below that still show. */
  belowBytes: number
  size: number
  /** Parts written, the later ones on top. */
  readonly parts: { readonly at: number; readonly bytes: Uint8Array }[]
}

export function overlayFiles(files: Files): Files {
  return new OverlayFiles(files)
}

class OverlayFiles implements Files {
  readonly shareable = false
  readonly #files: Files
  /** By path; `null`: removed. */
  readonly #layers = new Map<string, Layer | null>()

  constructor(files: Files) {
    this.#files = files
  }

  open(path: string, mode: OpenMode): Effect<FileHandle> {
    return effect(() => this.#open(path, mode))
  }

  rename(from: string, to: string): Effect<void> {
    return effect(() => this.#rename(from, to))
  }

  remove(path: string): Effect<void> {
    return immediate(() => {
      this.#layers.set(path, null)
    })
  }

  list(folder: string): Effect<string[]> {
    return effect(() => this.#list(folder))
  }

  makeFolder(path: string): Effect<void> {
    return effect(() => this.#makeFolder(path))
  }

  removeFolder(path: string): Effect<void> {
    return immediate(() => {
      throw systemErrorOf('EROFS', 'remove the folder', path)
    })
  }

  syncFolder(_path: string): Effect<void> {
    return immediate(() => {})
  }

  stat(path: string): Effect<FileStat | undefined> {
    return effect(() => this.#stat(path))
  }

  lock(path: string, timeoutMs: number, readOnly?: boolean): Effect<FileLock> {
    return this.#files.lock(path, timeoutMs, readOnly)
  }

  *#rename(from: string, to: string): Routine<void> {
    const layer = yield* this.#layerOf(from)
    if (!layer) throw systemErrorOf('ENOENT', `rename to ${to} the file`, from)
    this.#layers.set(from, null)
    this.#layers.set(to, layer)
  }

  *#list(folder: string): Routine<string[]> {
    const names = new Set(yield* this.#files.list(folder))
    for (const [path, layer] of this.#layers) {
      const end = path.lastIndexOf('/')
      if (path.slice(0, end) !== folder) continue
      if (layer) names.add(path.slice(end + 1))
      else names.delete(path.slice(end + 1))
    }
    return [...names].sort()
  }

  *#makeFolder(path: string): Routine<void> {
    const stat = yield* this.#files.stat(path)
    if (stat?.kind !== 'folder') throw systemErrorOf('EROFS', 'make the folder', path)
  }

  *#stat(path: string): Routine<FileStat | undefined> {
    const layer = this.#layers.get(path)
    if (layer === undefined) return yield* this.#files.stat(path)
    return layer === null ? undefined : { kind: 'file', size: layer.size }
  }

  *#open(path: string, mode: OpenMode): Routine<FileHandle> {
    let layer = yield* this.#layerOf(path)
    if (mode === 'create') {
      if (layer) throw systemErrorOf('EEXIST', 'create', path)
      layer = { below: undefined, belowBytes: 0, size: 0, parts: [] }
      this.#layers.set(path, layer)
    }
    if (!layer) throw systemErrorOf('ENOENT', 'open', path)
    const below =
      layer.below === undefined ? undefined : yield* this.#files.open(layer.below, 'read')
    return new OverlayHandle(path, layer, below)
  }

  /** `null`: there is no such file. */
  *#layerOf(path: string): Routine<Layer | null> {
    const known = this.#layers.get(path)
    if (known !== undefined) return known
    const stat = yield* this.#files.stat(path)
    if (stat === undefined) return null
    const layer: Layer = { below: path, belowBytes: stat.size, size: stat.size, parts: [] }
    this.#layers.set(path, layer)
    return layer
  }
}

class OverlayHandle implements FileHandle {
  readonly path: string
  readonly #layer: Layer
  readonly #below: FileHandle | undefined

  constructor(path: string, layer: Layer, below: FileHandle | undefined) {
    this.path = path
    this.#layer = layer
    this.#below = below
  }

  read(target: Uint8Array, offset: number, length: number, position: number): Effect<number> {
    const layer = this.#layer
    const wanted = Math.max(0, Math.min(length, layer.size - position))
    const shown = Math.max(0, Math.min(wanted, layer.belowBytes - position))
    const below = shown > 0 ? this.#below?.read(target, offset, shown, position) : undefined
    const cover = (): number => {
      target.fill(0, offset + shown, offset + wanted)
      for (const { at, bytes } of layer.parts) {
        const from = Math.max(at, position)
        const to = Math.min(at + bytes.length, position + wanted)
        if (from < to) target.set(bytes.subarray(from - at, to - at), offset + from - position)
      }
      return wanted
    }
    return new Effect(
      () => {
        below?.sync()
        return cover()
      },
      async () => {
        await below?.async()
        return cover()
      },
    )
  }

  write(source: Uint8Array, offset: number, length: number, position: number): Effect<void> {
    return immediate(() => {
      if (length === 0) return
      const bytes = Uint8Array.prototype.slice.call(source, offset, offset + length)
      this.#layer.parts.push({ at: position, bytes })
      this.#layer.size = Math.max(this.#layer.size, position + length)
    })
  }

  sync(): Effect<void> {
    return immediate(() => {})
  }

  size(): Effect<number> {
    return immediate(() => this.#layer.size)
  }

  truncate(size: number): Effect<void> {
    return immediate(() => {
      const layer = this.#layer
      layer.belowBytes = Math.min(layer.belowBytes, size)
      for (const [i, { at, bytes }] of layer.parts.entries()) {
        layer.parts[i] = { at, bytes: bytes.subarray(0, Math.max(0, size - at)) }
      }
      layer.size = size
    })
  }

  close(): Effect<void> {
    return this.#below?.close() ?? immediate(() => {})
  }
}
