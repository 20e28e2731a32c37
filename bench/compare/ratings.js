// @ts-check
// From samples to results: medians, the best rival, how many times as fast ours are, and whether that is enough.

import { median } from '../common.js'
import { targets } from './targets.js'

/**
 * @typedef {object} Rating
 * @property {string} engine
 * @property {string} [rival] the one it is compared with: the best, or the one that the target names
 * @property {number} [times] how many times as fast as that, or as small
 * @property {import('./targets.js').Target} [target]
 * @property {boolean} [ok] only where the target is meant for what was measured
 */

/**
 * @typedef {object} Result
 * @property {string} row
 * @property {string} what
 * @property {string} data
 * @property {import('./stores/store.js').Durability} [durability]
 * @property {'ns' | 'bytes'} unit
 * @property {Record<string, number>} medians by subject
 * @property {Record<string, number[]>} samples
 * @property {Record<string, number>} bounds
 * @property {Rating[]} ratings
 */

/**
 * @param {import('./session.js').Sampled} sampled
 * @param {readonly import('./subjects.js').Subject[]} subjects
 * @param {boolean} judged whether the targets are meant for what was measured
 * @returns {Result}
 */
export function rate({ row, samples, bounds }, subjects, judged) {
  const medians = mapped(samples)
  const named = (/** @type {string} */ kind) =>
    subjects.filter((one) => one.kind === kind && one.name in medians).map(({ name }) => name)
  const best = named('rival').toSorted((a, b) => of(medians, a) - of(medians, b))[0]
  const rated = (/** @type {string} */ engine, /** @type {string | undefined} */ than) => {
    const { ok, ...rest } = rating(engine, medians, than, targets[engine]?.[row.name])
    return judged && ok !== undefined ? { ...rest, ok } : rest
  }
  const plain = subjects.flatMap(({ name, of: engine }) =>
    engine !== undefined && name in medians && engine in medians ? [rated(name, engine)] : [],
  )
  const ratings = named('engine').map((engine) => rated(engine, best))
  return {
    row: row.name,
    what: row.what,
    data: row.data,
    ...(row.durability === undefined ? {} : { durability: row.durability }),
    unit: row.unit ?? 'ns',
    medians,
    samples,
    bounds: mapped(bounds),
    ratings: [...ratings, ...plain],
  }
}

/**
 * @param {string} engine
 * @param {Record<string, number>} medians
 * @param {string | undefined} best
 * @param {import('./targets.js').Target | undefined} target
 * @returns {Rating}
 */
function rating(engine, medians, best, target) {
  const ours = of(medians, engine)
  const rival = (target !== undefined && 'times' in target && target.than) || best
  const compared =
    rival === undefined || !(rival in medians) ? {} : { rival, times: of(medians, rival) / ours }
  if (target === undefined) return { engine, ...compared }
  if ('atMostMs' in target) {
    return { engine, ...compared, target, ok: ours <= target.atMostMs * 1e6 }
  }
  if (!('times' in compared)) return { engine, target }
  return { engine, ...compared, target, ok: compared.times >= target.times }
}

/** @param {Record<string, number[]>} samples */
function mapped(samples) {
  return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, median(list)]))
}

/**
 * @param {Record<string, number>} medians
 * @param {string} name
 */
function of(medians, name) {
  return /** @type {number} */ (medians[name])
}
