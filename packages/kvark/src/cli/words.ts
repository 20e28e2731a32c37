/**
 * A line of `repl` as words, as a shell would cut it: at blanks, but for what stands in quotes or behind a backslash.
 *
 *   set 'a b' "say \"hi\"" c\ d      ─►  set │ a b │ say "hi" │ c d
 *
 * In single quotes everything is itself; in double quotes a backslash stands before `"` and `\`. Nothing else is special.
 */

import { KvarkError } from '../index.ts'

export interface Words {
  readonly words: readonly string[]
  /** Where the last word begins in the line; behind the line, when it ends in a blank. */
  readonly lastStart: number
  /** The quote that is still open, if any. */
  readonly open: string | undefined
}

/** Cuts a line that may not be complete yet. */
export function cutWords(line: string): Words {
  const words: string[] = []
  let word: string | undefined
  let lastStart = line.length
  let quote: string | undefined
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!
    if (quote === undefined && (character === ' ' || character === '\t')) {
      if (word !== undefined) words.push(word)
      word = undefined
      lastStart = line.length
      continue
    }
    if (word === undefined) {
      word = ''
      lastStart = i
    }
    const next = line[i + 1]
    if (character === quote) quote = undefined
    else if (quote === undefined && (character === '"' || character === "'")) quote = character
    else if (character === '\\' && next !== undefined && isEscaped(next, quote)) {
      word += next
      i++
    } else word += character
  }
  if (word !== undefined) words.push(word)
  return { words, lastStart, open: quote }
}

/** The words of a line that is complete. */
export function wordsOf(line: string): readonly string[] {
  const { words, open } = cutWords(line)
  if (open === undefined) return words
  throw new KvarkError(
    'INVALID_ARGUMENT',
    `The quote ${open} has no end. Close it, or write \\${open} for the character itself.`,
  )
}

/** A word as it has to be typed. */
export function quoted(word: string): string {
  if (word !== '' && !/[\s'"\\]/.test(word)) return word
  return word.includes("'") ? `"${word.replace(/["\\]/g, '\\$&')}"` : `'${word}'`
}

function isEscaped(next: string, quote: string | undefined): boolean {
  if (quote === "'") return false
  return quote === undefined || next === quote || next === '\\'
}
