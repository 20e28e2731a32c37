/** Faults planted in the store for as long as a test runs, to see that a row of the proof finds them. */

/** Runs `act` while the method `name` of `target` is `planted`. */
export async function withPlanted<T extends object>(
  target: T,
  name: keyof T & string,
  planted: (original: T[keyof T]) => unknown,
  act: () => Promise<void>,
): Promise<void> {
  const original = target[name]
  Object.assign(target, { [name]: planted(original) })
  try {
    await act()
  } finally {
    Object.assign(target, { [name]: original })
  }
}
