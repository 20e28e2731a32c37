// @ts-check
// The results for people.

/** @typedef {import('./ratings.js').Result} Result */

/**
 * The rows of one data set, a line each.
 *
 * @param {string} title
 * @param {readonly Result[]} results
 * @param {readonly string[]} subjects
 */
export function table(title, results, subjects) {
  const head = ['', 'durability', ...subjects, 'rating', 'the machine']
  const lines = results.map((result) => [
    result.row,
    result.durability ?? '',
    ...subjects.map((name) => amount(result.medians[name], result)),
    result.ratings.map(verdict).join('; '),
    Object.entries(result.bounds)
      .map(([name, value]) => `${name} ${amount(value, result)}`)
      .join(', '),
  ])
  return `${title}\n\n${aligned([head, ...lines], new Set(subjects.map((_, n) => n + 2)))}`
}

/**
 * How many targets are reached, and which are not.
 *
 * @param {readonly Result[]} results
 */
export function summary(results) {
  const rated = results.flatMap(({ row, ratings }) =>
    ratings.flatMap(({ engine, ok }) =>
      ok === undefined ? [] : [{ name: `${engine} ${row}`, ok }],
    ),
  )
  if (rated.length === 0) return 'No targets are judged'
  const missed = rated.filter(({ ok }) => !ok).map(({ name }) => name)
  const reached = `${rated.length - missed.length} of ${rated.length} targets are reached`
  return missed.length === 0 ? reached : `${reached}; missed: ${missed.join(', ')}`
}

/** @param {readonly import('./kvstore.js').Figure[]} figures */
export function kvstoreTable(figures) {
  const head = ['', 'value', 'its README', 'its code, run again', 'ours']
  const lines = figures.map(({ what, valueBytes, claimed, runAgain, ours }) => [
    what,
    `${valueBytes} B`,
    claimed,
    runAgain,
    what === 'compaction'
      ? `${Math.round(ours).toLocaleString('en')} MB/s`
      : `${(Math.round(ours / 1e4) * 1e4).toLocaleString('en')}/s`,
  ])
  return `KvStore\n\n${aligned([head, ...lines], new Set([1, 2, 3, 4]))}`
}

/**
 * Columns of equal width.
 *
 * @param {readonly (readonly string[])[]} lines
 * @param {Set<number>} right columns that are aligned to the right
 */
function aligned(lines, right) {
  const widths = (lines[0] ?? []).map((_, n) =>
    Math.max(...lines.map((line) => (line[n] ?? '').length)),
  )
  return lines
    .map((line) =>
      line
        .map((cell, n) => {
          const width = widths[n] ?? 0
          return right.has(n) ? cell.padStart(width) : cell.padEnd(width)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** @param {import('./ratings.js').Rating} rating */
function verdict({ engine, rival, times, target, ok }) {
  const compared = times === undefined ? '' : ` ${times.toFixed(2)} x ${rival}`
  if (target === undefined) return compared === '' ? '' : `${engine}${compared}`
  const wanted = 'times' in target ? `>= ${target.times}` : `<= ${target.atMostMs} ms`
  const mark = ok === undefined ? '' : ok ? ' ok' : ' MISSED'
  return `${engine}${compared} (${wanted})${mark}`
}

/**
 * @param {number | undefined} value
 * @param {{ unit: 'ns' | 'bytes' }} result
 */
function amount(value, { unit }) {
  if (value === undefined) return '-'
  if (unit === 'bytes') return value < 1e5 ? `${digits(value)} B` : `${digits(value / 2 ** 20)} MiB`
  if (value < 1e4) return `${digits(value)} ns`
  return value < 1e6 ? `${digits(value / 1e3)} us` : `${digits(value / 1e6)} ms`
}

/** @param {number} value */
function digits(value) {
  return value.toFixed(value < 100 ? 1 : 0)
}
