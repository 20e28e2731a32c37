/**
 * A hot backup of a tree: the file as the root on the disk has it, while writes and checkpoints go on.
 *
 *   view ─► root, then each page that it leads to, as it lies in the file ─► synced, read back, compared
 *
 * 1. The view keeps the pages of the root: nobody writes over them.
 * 2. Nothing of the journal is needed: the checkpoint before has put it into the tree.
 */

import type { BackupReport, BackupTarget, Progress } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { FileCopy } from '../../storage/file-copy.ts'
import { readOnly } from '../../storage/journal.ts'
import { copyOf, ROOT_SLOTS, TREE_NAME, writeRoot } from './format.ts'
import { verify } from './inspection.ts'
import { Space } from './space.ts'
import type { TreeState } from './state.ts'

const SLICE_BYTES = 256 * 1024

export function* backup(
  state: TreeState,
  to: BackupTarget,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Routine<BackupReport> {
  const { pages, file, root, view, context } = state
  const { pageBytes } = file
  pages.views.hold(view)
  let copy: FileCopy | undefined
  try {
    // That each page is the one that belongs there is seen from above only.
    const { problems } = yield* verify(state, undefined, signal)
    if (problems[0]) throw problems[0]
    const map = Space.restore(yield* state.extents.read(root.map, 0, root.map.length))
    copy = yield* FileCopy.create(to.environment, `${to.folder}/${TREE_NAME}`)
    const slots = Buffer.alloc(ROOT_SLOTS * pageBytes)
    const { storeId } = context.descriptor
    const bytes = writeRoot(root, storeId, context.form.cipher)
    for (let slot = 0; slot < ROOT_SLOTS; slot++) bytes.copy(slots, slot * pageBytes)
    yield* copy.append(slots, 0, slots.length)
    const slice = Buffer.alloc(Math.max(SLICE_BYTES, pageBytes))
    const inSlice = slice.length / pageBytes
    for (let page = ROOT_SLOTS; page < map.end; page += inSlice) {
      signal?.throwIfAborted()
      const count = Math.min(inSlice, map.end - page)
      slice.fill(0)
      for (let i = 0; i < count; i++) {
        if (page + i === copyOf(root)) bytes.copy(slice, i * pageBytes)
        // A free one may hold anything.
        else if (map.has(page + i)) yield* file.copyPage(page + i, slice, i * pageBytes)
      }
      yield* copy.append(slice, 0, count * pageBytes)
      progress?.(copy.length, map.end * pageBytes)
      yield* context.environment.pause
    }
    yield* copy.finish()
    yield* copy.check(slice, () => signal?.throwIfAborted())
    yield* to.environment.files.syncFolder(to.folder)
    return { entries: root.entries, bytes: map.used * pageBytes, version: root.sequence }
  } catch (error) {
    if (!state.closed) throw error
    throw state.journal.failure?.code === 'CLOSED'
      ? new KvarkError('CLOSED', 'The store was closed before the backup was done.')
      : readOnly(state.journal.failure!)
  } finally {
    if (copy) yield* copy.close()
    if (!state.closed) pages.views.end(view)
  }
}
