/** What an open tree consists of. `recover` builds it, `resume` throws it away and builds another. */

import type { EngineContext } from '../../engine/engine.ts'
import { Effect, type Routine } from '../../environment/routine.ts'
import type { Journal } from '../../storage/journal.ts'
import type { Segment } from '../../storage/segment.ts'
import { closeAll } from '../../vfs/open-file.ts'
import type { Extents } from './extents.ts'
import type { TreeFile } from './file.ts'
import type { Extent, Root } from './format.ts'
import type { Keys } from './keys.ts'
import type { PageSpool } from './page-spool.ts'
import type { Pages } from './pages.ts'
import { Scratch } from './scratch.ts'
import type { Tree } from './tree.ts'
import type { View } from './views.ts'

/** Cut off the file in one step of the event loop. */
const TRIM_BYTES = 8 * 1024 * 1024

/** A checkpoint that is not on the disk yet. */
export interface Draft {
  readonly map: Extent
  readonly view: View
  /** Its root has been written: it may be on the disk. */
  named: boolean
}

export class TreeState {
  readonly context: EngineContext
  readonly file: TreeFile
  readonly pages: Pages
  readonly tree: Tree
  readonly extents: Extents
  readonly keys: Keys
  /** Set right after construction: the journal needs the state as its owner. */
  declare journal: Journal
  /** Of the journal, oldest first: all that recovery would read. */
  segments: Segment[] = []
  nextSegment: number
  /** The newest root on the disk, and the view that keeps what it leads to. */
  root: Root
  view: View
  /** What is on its way in, in pages of the file already. */
  readonly spools: Set<PageSpool> = new Set()
  /** Checkpoints under way, and those that were stopped: more than one where somebody who could not wait has taken one over. */
  readonly drafts: Set<Draft> = new Set()
  /** Not all of it is on disk with a close frame behind it. */
  changed = false
  /** No close frame names the root: a clean end writes one, as nothing else tells that the file is an older copy. */
  unmarked = false
  /** Somebody has been told of an entry that it has expired: a clean end records the clock, so that it stays so. */
  judged = false
  /** Buffers that cursors have left, for those to come. */
  readonly scratch: Scratch
  closed = false

  constructor(
    context: EngineContext,
    file: TreeFile,
    pages: Pages,
    tree: Tree,
    extents: Extents,
    keys: Keys,
    root: Root,
    nextSegment: number,
  ) {
    this.context = context
    this.file = file
    this.pages = pages
    this.tree = tree
    this.extents = extents
    this.keys = keys
    this.root = root
    this.view = pages.views.add(false)
    this.nextSegment = nextSegment
    this.scratch = new Scratch(file.pageBytes)
  }

  /**
   * Syncs the tree file. What a failed sync leaves behind nobody knows: nothing is written any more, also where who began it has been
   * stopped meanwhile.
   */
  sync(): Effect<void> {
    const syncing = this.file.handle.sync()
    return new Effect(
      () => {
        try {
          syncing.sync()
        } catch (error) {
          throw this.journal.fail(error)
        }
      },
      async () => {
        try {
          await syncing.async()
        } catch (error) {
          throw this.journal.fail(error)
        }
      },
    )
  }

  /** Cuts off the end of the file that nobody uses. */
  *trim(): Routine<void> {
    const { file, pages } = this
    for (;;) {
      const size = yield* file.handle.size()
      const end = pages.space.end * file.pageBytes
      if (size <= end || this.closed) return
      // At once, for what is written meanwhile may lie there; and so in steps.
      file.handle.truncate(Math.max(end, size - TRIM_BYTES)).sync()
    }
  }

  /** Closes all files, and lets go of all memory. */
  *close(): Routine<void> {
    this.closed = true
    for (const spool of this.spools) yield* spool.discard()
    this.pages.close()
    const handles = [this.file.handle, ...this.segments.map(({ handle }) => handle)]
    this.segments = []
    yield* closeAll(handles)
  }
}
