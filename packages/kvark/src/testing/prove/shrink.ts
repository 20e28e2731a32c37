/**
 * The shortest part of a script that still fails: halves are left out, then quarters, down to single steps, as long as that helps
 * (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 2002).
 */

export async function shortest(
  steps: readonly number[],
  failsWith: (steps: readonly number[]) => Promise<boolean>,
): Promise<readonly number[]> {
  let left = steps
  let size = Math.ceil(left.length / 2)
  while (size >= 1) {
    let smaller = false
    for (let at = 0; at < left.length; ) {
      const fewer = [...left.slice(0, at), ...left.slice(at + size)]
      if (fewer.length > 0 && (await failsWith(fewer))) {
        left = fewer
        smaller = true
      } else at += size
    }
    if (!smaller || size > left.length) {
      if (size === 1) break
      size = Math.ceil(size / 2)
    }
  }
  return left
}
