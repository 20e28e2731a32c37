/**
 * Planted bugs: the sources with one safety step taken out. A proof that does not find each of them is worth nothing.
 *
 * A text that is looked for stands exactly once in its file (`planted.test.ts` sees to that), so that a patch cannot miss its place
 * when the code moves on.
 */

export interface PlantedBug {
  readonly name: string
  /** From `src` on. */
  readonly file: string
  readonly find: string
  readonly replace: string
  /** The rows that are to find it. */
  readonly rows: readonly string[]
}
