/**
 * `complete`: scripts for shells, and the answers that those scripts ask for. Where a path is wanted the answer says so, and the shell
 * offers the files that there are: it knows how to quote them.
 */

import { type RootCommand, ShellCompDirective } from '@bomb.sh/tab'
import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'

/** What arguments, and the values of options, are called that are paths. */
const PATHS: readonly string[] = ['file', 'dir', 'from', 'to']

/** What the scripts lack: bash offers no files by itself, and no shell knows of those behind an `@`. */
const MORE_OF_SCRIPT: Readonly<Record<string, string>> = {
  bash: `__kvark_word() {
    local word=\${COMP_WORDS[COMP_CWORD]}
    if [[ "$word" != @* ]]; then
        __kvark_complete
        return
    fi
    mapfile -t COMPREPLY < <(compgen -f -P @ -- "\${word:1}")
    compopt -o filenames
    if [[ \${#COMPREPLY[@]} -eq 1 && -d "\${COMPREPLY[0]:1}" ]]; then
        COMPREPLY[0]+=/
        compopt -o nospace
    fi
}
complete -o default -F __kvark_word kvark`,
  zsh: `functions[__kvark_complete]=$functions[_kvark]
_kvark() {
    compset -P @
    __kvark_complete
}`,
  fish: `complete -c kvark -n 'string match -q "@*" -- (commandline -ct); and not __kvark_prepare_completions' -f -a '@(__fish_complete_path (string sub -s 2 -- (commandline -ct)))'`,
}

/** Adds the command `complete`, which completes all that `program` has so far, and returns it. */
export function addCompletion(program: Command): Command {
  const completion = tab(program)
  offerFiles(completion, program)
  // Options of the program are taken after a command too, and commands have other names, which the adapter does not know.
  for (const command of completion.commands.values()) {
    for (const [name, option] of completion.options) {
      if (!command.options.has(name)) command.options.set(name, option)
    }
  }
  for (const command of program.commands) {
    const known = completion.commands.get(command.name())
    for (const alias of command.aliases()) if (known) completion.commands.set(alias, known)
  }
  return program.commands.at(-1)!
}

function offerFiles(completion: RootCommand, program: Command): void {
  let isPath = false
  let word = ''
  const parse = completion.parse.bind(completion)
  completion.parse = (words) => {
    word = words.at(-1) ?? ''
    parse(words)
  }
  const setup = completion.setup.bind(completion)
  completion.setup = (name, executable, shell) => {
    setup(name, executable, shell)
    if (shell in MORE_OF_SCRIPT) console.log(MORE_OF_SCRIPT[shell])
  }
  // The adapter would say of each word that it is no file.
  Object.defineProperty(completion, 'directive', {
    get: () =>
      isPath
        ? ShellCompDirective.ShellCompDirectiveDefault
        : ShellCompDirective.ShellCompDirectiveNoFileComp,
    set: () => {},
  })
  for (const command of [program, ...program.commands]) {
    const known = command === program ? completion : completion.commands.get(command.name())
    for (const { long, flags } of command.options) {
      const option = known?.options.get(long?.slice(2) ?? '')
      if (option === undefined || !PATHS.some((name) => flags.endsWith(`<${name}>`))) continue
      option.handler = () => {
        isPath = true
      }
    }
    for (const argument of known?.arguments.values() ?? []) {
      const { name } = argument
      if (!PATHS.includes(name) && name !== 'value') continue
      argument.handler = () => {
        isPath = name !== 'value' || word.startsWith('@')
      }
    }
  }
}
