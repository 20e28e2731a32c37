/** What a folder holds, to tell whether anything in it has changed. */

import { crc32 } from 'node:zlib'
import type { Files } from '../vfs/files.ts'

export function fileBytes(files: Files, path: string): Buffer {
  const handle = files.open(path, 'read').sync()
  const bytes = Buffer.alloc(handle.size().sync())
  handle.read(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
  return bytes
}

/** Every file of a store but the lock, each with its length and checksum. */
export function folderImage(files: Files, folder: string): string[] {
  const names = files.list(folder).sync()
  return names
    .filter((name) => name !== 'LOCK')
    .map((name) => {
      const bytes = fileBytes(files, `${folder}/${name}`)
      return `${name}: ${bytes.length} bytes, ${crc32(bytes).toString(16)}`
    })
}
