/** `complete`: scripts for shells, and the answers that those scripts ask for. */

import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'

/** Adds the command `complete`, which completes all that `program` has so far, and returns it. */
export function addCompletion(program: Command): Command {
  const completion = tab(program)
  // Options of the program are taken after a command too, which the adapter does not know.
  for (const command of completion.commands.values()) {
    for (const [name, option] of completion.options) {
      if (!command.options.has(name)) command.options.set(name, option)
    }
  }
  return program.commands.at(-1)!
}
