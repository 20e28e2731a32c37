/**
 * A file system in memory: inodes and the names that lead to them. It knows no effects and no handles; the files in
 * memory (`memory.ts`) and the simulated disk (`simulated.ts`) are built on it.
 *
 *   FolderInode ── 'data' ──► FolderInode ── '000001.log' ──► FileInode { size, chunk │ chunk │ … }
 *
 * 1. A file lives as long as a name or an open handle leads to it, as on a POSIX system.
 * 2. What changes names is described by `NameChange`s, so that the simulated disk can apply them again elsewhere.
 * 3. Bytes beyond `size` are zero, so that growing a file needs no filling.
 * 4. Copies share chunks until one of them writes there: a disk is copied for every crash that is looked at.
 */

import { resolve, sep } from 'node:path'
import { crc32 } from 'node:zlib'
import type { FileStat, OpenMode } from './files.ts'
import { systemErrorOf } from './system-error.ts'

export type Inode = FileInode | FolderInode

const CHUNK_BYTES = 4 * 1024
const ZEROS = crc32(new Uint8Array(CHUNK_BYTES))

export class FileInode {
  readonly kind = 'file'
  size = 0
  locked = false
  /** Each `CHUNK_BYTES` long; one that is missing is zeros. */
  #chunks: (Chunk | undefined)[] = []

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    const count = Math.max(0, Math.min(length, this.size - position))
    for (let done = 0; done < count; ) {
      const at = (position + done) % CHUNK_BYTES
      const part = Math.min(count - done, CHUNK_BYTES - at)
      const chunk = this.#chunks[Math.floor((position + done) / CHUNK_BYTES)]
      const start = offset + done
      if (chunk === undefined) target.fill(0, start, start + part)
      else target.set(chunk.bytes.subarray(at, at + part), start)
      done += part
    }
    return count
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    for (let done = 0; done < length; ) {
      const at = (position + done) % CHUNK_BYTES
      const part = Math.min(length - done, CHUNK_BYTES - at)
      const start = offset + done
      this.#own(Math.floor((position + done) / CHUNK_BYTES)).set(
        source.subarray(start, start + part),
        at,
      )
      done += part
    }
    if (length > 0 && position + length > this.size) this.size = position + length
  }

  truncate(size: number): void {
    if (size < this.size) {
      const last = Math.floor(size / CHUNK_BYTES)
      if (this.#chunks.length > last) {
        if (this.#chunks[last] !== undefined) this.#own(last).fill(0, size % CHUNK_BYTES)
        this.#chunks.length = last + 1
      }
    }
    this.size = size
  }

  /** The same bytes in a file of its own; they are shared until one of the two is written to. */
  copy(): FileInode {
    const copy = new FileInode()
    for (const chunk of this.#chunks) if (chunk !== undefined) chunk.owner = undefined
    copy.#chunks = [...this.#chunks]
    copy.size = this.size
    return copy
  }

  /** A checksum of all bytes; chunks that did not change since the last time are not read again. */
  get checksum(): number {
    let sum = crc32(String(this.size))
    for (const [i, chunk] of this.#chunks.entries()) {
      if (chunk === undefined) continue
      chunk.checksum ??= crc32(chunk.bytes)
      // One of zeros is as good as none.
      if (chunk.checksum !== ZEROS) sum = crc32(`${i} ${chunk.checksum}`, sum)
    }
    return sum
  }

  /** Takes over the bytes of another file. */
  become(other: FileInode): void {
    const { size } = other
    this.#chunks = other.copy().#chunks
    this.size = size
  }

  /** The bytes of a chunk, to write to. */
  #own(index: number): Uint8Array {
    const chunk = this.#chunks[index]
    if (chunk?.owner === this) {
      chunk.checksum = undefined
      return chunk.bytes
    }
    const bytes = chunk === undefined ? new Uint8Array(CHUNK_BYTES) : chunk.bytes.slice()
    this.#chunks[index] = { bytes, owner: this, checksum: undefined }
    return bytes
  }
}

interface Chunk {
  readonly bytes: Uint8Array
  /** The file that alone has it. */
  owner: FileInode | undefined
  /** Of `bytes`, where it is known. */
  checksum: number | undefined
}

export class FolderInode {
  readonly kind = 'folder'
  readonly names: Map<string, Inode> = new Map()
}

/** In one step `inode` loses the name `removed` in a folder and gets the name `added` there. */
export interface NameChange {
  readonly folder: FolderInode
  readonly inode: Inode
  readonly removed: string | undefined
  readonly added: string | undefined
}

/** Applies a change to the folder's names, or to an older state of them: there, what does not fit has no effect. */
export function applyNameChange(names: Map<string, Inode>, change: NameChange): void {
  const { inode, removed, added } = change
  if (removed !== undefined && names.get(removed) === inode) names.delete(removed)
  if (added !== undefined && names.get(added)?.kind !== 'folder') names.set(added, inode)
}

/** The names from one root on; paths are made absolute as the system does it. */
export class Tree {
  readonly root: FolderInode

  constructor(root: FolderInode = new FolderInode()) {
    this.root = root
  }

  find(path: string): Inode | undefined {
    let inode: Inode | undefined = this.root
    for (const name of partsOf(path)) {
      if (inode?.kind !== 'folder') return undefined
      inode = inode.names.get(name)
    }
    return inode
  }

  folder(path: string, action: string): FolderInode {
    const inode = this.find(path)
    if (inode?.kind === 'folder') return inode
    throw systemErrorOf(inode === undefined ? 'ENOENT' : 'ENOTDIR', action, path)
  }

  /** The file for `mode`, and the change when it was made. */
  open(path: string, mode: OpenMode): { file: FileInode; change: NameChange | undefined } {
    const action = mode === 'create' ? 'create' : 'open'
    const { folder, name } = this.#place(path, action)
    const inode = folder.names.get(name)
    if (mode === 'create') {
      if (inode !== undefined) throw systemErrorOf('EEXIST', action, path)
      const file = new FileInode()
      return { file, change: this.#apply({ folder, inode: file, removed: undefined, added: name }) }
    }
    if (inode === undefined) throw systemErrorOf('ENOENT', action, path)
    if (inode.kind === 'folder') throw systemErrorOf('EISDIR', action, path)
    return { file: inode, change: undefined }
  }

  /** One change within a folder; between two folders the new name comes first, then the old one goes. */
  rename(from: string, to: string): NameChange[] {
    const action = `rename to ${to} the file`
    const source = this.#place(from, action)
    const target = this.#place(to, action)
    const inode = source.folder.names.get(source.name)
    if (inode === undefined) throw systemErrorOf('ENOENT', action, from)
    const replaced = target.folder.names.get(target.name)
    if (replaced === inode) return []
    if (replaced?.kind === 'folder') {
      throw systemErrorOf(inode.kind === 'file' ? 'EISDIR' : 'ENOTEMPTY', action, from)
    }
    if (inode.kind === 'folder') {
      if (replaced !== undefined) throw systemErrorOf('ENOTDIR', action, from)
      if (`${resolve(to)}${sep}`.startsWith(`${resolve(from)}${sep}`)) {
        throw systemErrorOf('EINVAL', action, from)
      }
    }
    if (source.folder === target.folder) {
      const change = { folder: source.folder, inode, removed: source.name, added: target.name }
      return [this.#apply(change)]
    }
    return [
      this.#apply({ folder: target.folder, inode, removed: undefined, added: target.name }),
      this.#apply({ folder: source.folder, inode, removed: source.name, added: undefined }),
    ]
  }

  remove(path: string): NameChange | undefined {
    const parent = this.find(resolve(path, '..'))
    if (parent === undefined) return undefined
    const { folder, name } = this.#place(path, 'remove')
    const inode = folder.names.get(name)
    if (inode === undefined) return undefined
    if (inode.kind === 'folder') throw systemErrorOf('EISDIR', 'remove', path)
    return this.#apply({ folder, inode, removed: name, added: undefined })
  }

  removeFolder(path: string): NameChange | undefined {
    const action = 'remove the folder'
    if (this.find(path) === undefined) return undefined
    const { folder, name } = this.#place(path, action)
    const inode = folder.names.get(name)!
    if (inode.kind === 'file') throw systemErrorOf('ENOTDIR', action, path)
    if (inode.names.size > 0) throw systemErrorOf('ENOTEMPTY', action, path)
    return this.#apply({ folder, inode, removed: name, added: undefined })
  }

  /** The new folders, with the ones that hold them. */
  makeFolder(path: string): NameChange[] {
    const made: NameChange[] = []
    let folder = this.root
    const parts = partsOf(path)
    for (const [i, name] of parts.entries()) {
      let next = folder.names.get(name)
      if (next === undefined) {
        next = new FolderInode()
        made.push(this.#apply({ folder, inode: next, removed: undefined, added: name }))
      } else if (next.kind === 'file') {
        const errno = i === parts.length - 1 ? 'EEXIST' : 'ENOTDIR'
        throw systemErrorOf(errno, 'make the folder', path)
      }
      folder = next
    }
    return made
  }

  list(path: string): string[] {
    return [...this.folder(path, 'list').names.keys()].sort()
  }

  stat(path: string): FileStat | undefined {
    const inode = this.find(path)
    return inode && { kind: inode.kind, size: inode.kind === 'file' ? inode.size : 0 }
  }

  #place(path: string, action: string): { folder: FolderInode; name: string } {
    const name = partsOf(path).at(-1)
    if (name === undefined) throw systemErrorOf('EISDIR', action, path)
    const parent = this.find(resolve(path, '..'))
    if (parent?.kind === 'folder') return { folder: parent, name }
    throw systemErrorOf(parent === undefined ? 'ENOENT' : 'ENOTDIR', action, path)
  }

  #apply(change: NameChange): NameChange {
    applyNameChange(change.folder.names, change)
    return change
  }
}

function partsOf(path: string): string[] {
  return resolve(path)
    .split(sep)
    .filter((part) => part !== '')
}
