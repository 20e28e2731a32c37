/** Snapshots of a tree: a root, and a view that keeps what it leads to. */

import type { EngineSnapshot } from '../../engine/engine.ts'
import type { Tree } from './tree.ts'
import type { View, Views } from './views.ts'

export class TreeSnapshot implements EngineSnapshot {
  readonly sequence: number
  readonly clock: number
  readonly root: number
  /** When it was taken, by the monotonic clock, ms. */
  readonly taken: number
  readonly view: View
  released = false
  readonly #owner: Snapshots

  constructor(
    owner: Snapshots,
    sequence: number,
    clock: number,
    root: number,
    taken: number,
    view: View,
  ) {
    this.#owner = owner
    this.sequence = sequence
    this.clock = clock
    this.root = root
    this.taken = taken
    this.view = view
  }

  release(): void {
    if (this.released) return
    this.released = true
    this.#owner.remove(this)
  }
}

export class Snapshots {
  /** Oldest first. */
  readonly living: TreeSnapshot[] = []
  readonly #views: Views
  readonly #tree: Tree
  #closed = false

  constructor(views: Views, tree: Tree) {
    this.#views = views
    this.#tree = tree
  }

  take(sequence: number, clock: number, taken: number): TreeSnapshot {
    const snapshot = new TreeSnapshot(
      this,
      sequence,
      clock,
      this.#tree.root,
      taken,
      this.#views.add(),
    )
    this.living.push(snapshot)
    return snapshot
  }

  remove(snapshot: TreeSnapshot): void {
    const at = this.living.indexOf(snapshot)
    if (at < 0) return
    this.living.splice(at, 1)
    if (!this.#closed) this.#views.end(snapshot.view)
  }

  /** The tree is gone: nothing can be read at a snapshot any more. */
  close(): void {
    this.#closed = true
    for (const snapshot of this.living) snapshot.released = true
    this.living.length = 0
  }
}
