/** What tells one simulated disk from another. */

import { crc32 } from 'node:zlib'
import { runSync } from '../../environment/routine.ts'
import type { SimulatedFiles } from '../../vfs/simulated.ts'

/** Of everything on the disk; below 2⁵³. */
export function hashOf(files: SimulatedFiles): number {
  return runSync(
    (function* () {
      let low = 0
      let high = 1
      const take = (part: Uint8Array | string): void => {
        low = crc32(part, low)
        high = (Math.imul(high, 0x9e3779b1) ^ crc32(part)) >>> 0
      }
      const folders = ['/']
      for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
        for (const name of yield* files.list(folder)) {
          const path = `${folder === '/' ? '' : folder}/${name}`
          const { kind, size } = (yield* files.stat(path))!
          take(`${path} ${size}`)
          if (kind === 'folder') folders.push(path)
          else {
            const handle = yield* files.open(path, 'read')
            const bytes = new Uint8Array(size)
            yield* handle.read(bytes, 0, size, 0)
            take(bytes)
            yield* handle.close()
          }
        }
      }
      return (high & 0x1f_ffff) * 2 ** 32 + low
    })(),
  )
}
