/** How much of a proof is done when: part of the goals, and the time after which what is missing is cut short. */

export interface Tier {
  readonly share: number
  readonly minutes: number
}

export const TIERS: Readonly<Record<string, Tier>> = {
  quick: { share: 0.02, minutes: 1 },
  pr: { share: 0.1, minutes: 6 },
  nightly: { share: 1, minutes: 90 },
}
