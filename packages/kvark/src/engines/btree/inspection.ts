/** Looking at a tree: `verify` reads and checks every page that the root on the disk leads to, `inspect` tells its shape (see `shape.ts`). */

import type { Inspection, Progress, VerifyReport } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { asKvarkError, corruption, type KvarkError } from '../../errors.ts'
import { childAt, entriesAt, HAS_EXTENTS, MAY_EXPIRE, sumAt, traitsAt } from './branch.ts'
import { FLAGS_AT, misplaced, NO_PAGE, TREE_PAGE } from './format.ts'
import { restOf } from './keys.ts'
import { Leaf, readExtent } from './leaf.ts'
import { Page, pageMemory } from './page.ts'
import { Shape } from './shape.ts'
import type { TreeState } from './state.ts'

/** What stands below a page. */
interface Below {
  readonly entries: number
  readonly traits: number
}

class Verifier {
  readonly #state: TreeState
  readonly #progress: Progress | undefined
  readonly #signal: AbortSignal | undefined
  readonly #leaf: Leaf = new Leaf()
  readonly problems: KvarkError[] = []
  bytes = 0
  levels: number[] = []

  constructor(state: TreeState, progress: Progress | undefined, signal: AbortSignal | undefined) {
    this.#state = state
    this.#progress = progress
    this.#signal = signal
  }

  /** The entries below a page, all of whose keys are at least `low` and smaller than `high`. */
  *page(
    number: number,
    sum: number,
    level: number | undefined,
    low: Buffer,
    high: Buffer | undefined,
  ): Routine<Below> {
    const { file, pages, context } = this.#state
    this.#signal?.throwIfAborted()
    const bytes = Buffer.allocUnsafeSlow(file.pageBytes)
    try {
      pages.expect(number, sum)
      yield* file.readPage(number, bytes, 0)
    } catch (error) {
      return this.#problem(error)
    }
    if (bytes[FLAGS_AT] !== TREE_PAGE) return this.#problem(misplaced())
    yield* context.environment.pause
    this.#count(file.pageBytes)
    const page = new Page(pageMemory(Buffer.alloc(4)), file.payloadBytes)
    page.look(pageMemory(bytes), file.form.headerBytes)
    if (level !== undefined && page.level !== level) return this.#problem(misplaced())
    this.levels[page.level] = (this.levels[page.level] ?? 0) + 1
    let keys: Buffer[]
    try {
      keys = yield* this.#keysOf(page)
    } catch (error) {
      // Without them nobody can tell what belongs below it.
      return this.#problem(error)
    }
    for (const [slot, key] of keys.entries()) {
      const previous = keys[slot - 1]
      const small = slot === 0 && page.level > 0 ? false : key.compare(low) < 0
      if (small || (high && key.compare(high) >= 0) || (previous && previous.compare(key) >= 0)) {
        return this.#problem(
          corruption(file.handle.path, number * file.pageBytes, 'keys are out of order'),
        )
      }
    }
    let entries = 0
    let traits = 0
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      if (page.level === 0) {
        entries++
        if (page.referenceLength > 0) traits |= HAS_EXTENTS
        traits |= yield* this.#value(page)
      } else {
        const before = this.problems.length
        const below = yield* this.page(
          childAt(page),
          sumAt(page),
          page.level - 1,
          slot === 0 ? low : keys[slot]!,
          keys[slot + 1] ?? high,
        )
        entries += below.entries
        traits |= below.traits
        const found = this.problems.length
        page.read(slot)
        // What could not be read was told already.
        const differ = entriesAt(page) !== below.entries || (below.traits & ~traitsAt(page)) !== 0
        if (differ && found === before) {
          this.#problem(
            corruption(
              file.handle.path,
              number * file.pageBytes,
              'a branch does not say what is below it',
            ),
          )
        }
      }
    }
    return { entries, traits }
  }

  /** All keys of a page, whole. */
  *#keysOf(page: Page): Routine<Buffer[]> {
    const keys: Buffer[] = []
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      const inPage = Buffer.alloc(page.keyLength(slot))
      page.writeKey(slot, inPage, 0)
      if (page.referenceLength === 0) keys.push(inPage)
      else {
        const rest = restOf(page)
        keys.push(Buffer.concat([inPage, yield* this.#state.extents.read(rest, 0, rest.length)]))
      }
    }
    return keys
  }

  /** Reads the value of an entry that has one of its own; returns the entry's traits. */
  *#value(page: Page): Routine<number> {
    const { file, extents } = this.#state
    const leaf = this.#leaf
    const { payloadBytes } = file
    let traits = 0
    try {
      leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
      traits = leaf.expiry === 0 ? 0 : MAY_EXPIRE
      if (!leaf.long) return traits
      traits |= HAS_EXTENTS
      const extent = readExtent(page.bytes, leaf.start, leaf.end)
      for (let from = 0; from < extent.length; from += payloadBytes) {
        yield* extents.read(extent, from, Math.min(payloadBytes, extent.length - from))
        this.#count(file.pageBytes)
      }
    } catch (error) {
      this.#problem(error)
    }
    return traits
  }

  #count(bytes: number): void {
    this.bytes += bytes
    const { pages, file } = this.#state
    this.#progress?.(this.bytes, Math.max(this.bytes, pages.space.used * file.pageBytes))
  }

  #problem(error: unknown): Below {
    const problem = asKvarkError(error)
    const isDamage = problem.code === 'CORRUPTION' || problem.code === 'VERSION'
    if (!isDamage || this.#state.closed) throw error
    this.problems.push(problem)
    return { entries: 0, traits: 0 }
  }
}

export function* verify(
  state: TreeState,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Routine<VerifyReport> {
  const { views } = state.pages
  // What the root leads to stays as long as this view does.
  const { root, view } = state
  views.hold(view)
  const verifier = new Verifier(state, progress, signal)
  try {
    const { entries } =
      root.page === NO_PAGE
        ? { entries: 0 }
        : yield* verifier.page(root.page, root.sum, undefined, Buffer.alloc(0), undefined)
    return { entries, bytes: verifier.bytes, problems: verifier.problems }
  } catch (error) {
    state.pages.checkOpen()
    throw error
  } finally {
    if (!state.closed) views.end(view)
  }
}

export function* inspect(
  state: TreeState,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Routine<Inspection> {
  const { file, pages, tree } = state
  const { views } = pages
  const shape = new Shape(state, progress, signal)
  const top = tree.root
  const view = views.add()
  try {
    yield* shape.look(top)
  } catch (error) {
    pages.checkOpen()
    throw error
  } finally {
    if (!state.closed) views.end(view)
  }
  const size = yield* file.handle.size()
  const { root, segments } = state
  const { space } = pages
  let kept = 0
  views.eachKept(() => kept++)
  return {
    files: [
      {
        name: file.handle.path.slice(state.context.folder.length + 1),
        kind: 'tree',
        bytes: size,
        detail: { checkpoint: root.number, pages: space.end, free: space.free },
      },
      ...segments.map((segment) => ({
        name: segment.path.slice(state.context.folder.length + 1),
        kind: 'journal',
        bytes: segment.writer?.end ?? segment.end,
        detail: { number: segment.number },
      })),
    ],
    detail: {
      pageBytes: file.pageBytes,
      entries: tree.entries,
      pages: space.used,
      freePages: space.free,
      keptPages: kept,
      freshPages: pages.fresh,
      damagedPages: shape.damagedPages,
      longValues: shape.longValues.count,
      longValuePages: shape.longValues.pages,
      longKeys: shape.longKeys.count,
      longKeyPages: shape.longKeys.pages,
    },
    levels: shape.levels,
  }
}
