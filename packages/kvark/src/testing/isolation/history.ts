/**
 * What transactions on lists did and saw, as a checker judges it. Every value is appended once, so that a list tells which
 * transactions made it, in which order.
 */

export type Step =
  | { readonly read: string; readonly list: readonly number[] }
  | { readonly append: string; readonly value: number }

/** One run of a transaction's function. */
export interface Run {
  /** Runs of one client come one after the other. */
  readonly client: number
  readonly steps: Step[]
  committed: boolean
}

/** In the order in which they began. */
export type History = readonly Run[]
