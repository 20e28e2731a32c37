// @ts-check
// Which keys a skewed workload asks for: few of them often, most of them seldom, as in YCSB (Gray et al., "Quickly
// generating billion-record synthetic databases", 1994).

import { random, scattered } from './data.js'

const THETA = 0.99

/**
 * @param {number} count keys are numbers below it
 * @param {number} seed
 * @returns {() => number} the next key; the frequent ones are scattered
 */
export function zipfian(count, seed) {
  const next = random(seed)
  let zeta = 0
  for (let rank = 1; rank <= count; rank++) zeta += rank ** -THETA
  const first = 1
  const second = 1 + 0.5 ** THETA
  const alpha = 1 / (1 - THETA)
  const eta = (1 - (2 / count) ** (1 - THETA)) / (1 - second / zeta)
  return () => {
    const u = next() / 2 ** 32
    const part = u * zeta
    if (part < first) return scattered(0, count)
    if (part < second) return scattered(1 % count, count)
    const rank = Math.floor(count * (eta * u - eta + 1) ** alpha)
    return scattered(Math.min(rank, count - 1), count)
  }
}
