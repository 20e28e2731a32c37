/**
 * The commands and options, with the help that people read: what each takes, and examples that can be typed as they
 * stand. What a command does is in `commands/`.
 */

import { readFileSync } from 'node:fs'
import { styleText } from 'node:util'
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type CompressionName, KvarkError } from '../index.ts'
import { ENCODINGS } from './bytes.ts'
import { type BackupArguments, backup } from './commands/backup.ts'
import { compact } from './commands/compact.ts'
import { type ConvertArguments, convertStore } from './commands/convert.ts'
import { count } from './commands/count.ts'
import { type DestroyArguments, destroyCommand } from './commands/destroy.ts'
import { dump } from './commands/dump.ts'
import { exportEntries } from './commands/export.ts'
import { type GetOptions, get } from './commands/get.ts'
import { has } from './commands/has.ts'
import { importEntries } from './commands/import.ts'
import { inspect } from './commands/inspect.ts'
import type { RangeArguments } from './commands/range.ts'
import { type RekeyArguments, rekeyStore } from './commands/rekey.ts'
import { repairCommand } from './commands/repair.ts'
import { repl } from './commands/repl.ts'
import { rm } from './commands/rm.ts'
import { type ScanArguments, scan } from './commands/scan.ts'
import { set } from './commands/set.ts'
import { stats } from './commands/stats.ts'
import { tables } from './commands/tables.ts'
import { touch } from './commands/touch.ts'
import { verify } from './commands/verify.ts'
import { type WatchArguments, watch } from './commands/watch.ts'
import {
  type CodecOptions,
  type ConditionOptions,
  type ExpiryOptions,
  parseDuration,
  type TableArgument,
} from './commands/write-options.ts'
import { addCompletion } from './completion.ts'
import { EXIT_OK, EXIT_USAGE, usageError } from './errors.ts'
import type { Io } from './io.ts'
import { KEY_CODECS, VALUE_CODECS } from './notation.ts'
import type { Output } from './output.ts'
import { refuseSecretArguments } from './secret.ts'
import { type Action, DEFAULT_DATA_DIR, type GlobalOptions } from './session.ts'

/** How an action is carried out, once its options are known. */
type Run = (action: Action) => Promise<void>

/** Runs the command that `argv` asks for and gives its exit code. */
export async function runProgram(argv: readonly string[], io: Io, output: Output): Promise<number> {
  refuseSecretArguments(argv)
  let exitCode: number = EXIT_OK
  const program = createProgram(io, output, async (action) => {
    exitCode = await action({ io, output, options: program.opts<GlobalOptions>() })
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help and version have been printed already; help that nobody asked for means that a command is missing.
    if (error.exitCode === 0) return EXIT_OK
    if (error.code === 'commander.help') return EXIT_USAGE
    throw usageError(error)
  }
  return exitCode
}

function createProgram(io: Io, output: Output, run: Run): Command {
  const program = new Command('kvark')
  // Before the commands, which inherit it.
  program.exitOverride().configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: (text) => io.stderr.write(text),
    outputError: () => {},
    getOutHasColors: () => output.colored(io.stdout),
    getErrHasColors: () => output.colored(io.stderr),
  })
  program.configureHelp({
    showGlobalOptions: true,
    styleTitle: (title) => styleText('bold', title, { validateStream: false }),
  })
  program
    .description('Keeps keys and values in a folder: an embedded key-value database.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
  addGlobalOptions(program)
  addEntryCommands(program, run)
  addTablesCommand(program, run)
  addTransferCommands(program, run)
  addCareCommands(program, run)
  program.commandsGroup('Other:')
  program
    .command('repl')
    .description('a prompt for these commands, with history and completion')
    .action(() => run((context) => repl(context, program)))
    .addHelpText(
      'after',
      examples(
        ['kvark repl', 'then: set greeting "Hello, world"'],
        ['kvark repl --data-dir ./shop < commands.txt', 'one command a line'],
      ),
    )
  addHelp(program)
  addCompletion(program)
    .description('print a script that completes commands, options and files in a shell')
    .addHelpText(
      'after',
      examples(
        ['source <(kvark complete bash)', 'in ~/.bashrc; zsh: the same in ~/.zshrc'],
        ['kvark complete fish | source', 'in ~/.config/fish/config.fish'],
      ),
    )
  program.addHelpText('after', PROGRAM_HELP)
  return program
}

/** Commander's own help command answers for an unknown command as if none had been named. */
function addHelp(program: Command): void {
  program
    .command('help')
    .description('print help for a command')
    .argument('[command]', 'the command')
    .action((name?: string) => {
      const known = (command: Command): boolean =>
        command.name() === name || command.aliases().includes(name ?? '')
      const command = name === undefined ? program : program.commands.find(known)
      if (command !== undefined) return command.outputHelp()
      throw new KvarkError('INVALID_ARGUMENT', `There is no command '${name}'. See \`kvark help\`.`)
    })
    .addHelpText('after', examples(['kvark help set', 'how to store a value']))
}

const PROGRAM_HELP = `
Examples:
  $ kvark set user:1 Alice      stores a value; makes the store ./data
  $ kvark get user:1            prints it
  $ kvark scan --limit 10       prints the first entries
  $ kvark help set              tells more about a command

Exit codes:
  0 done   1 not there, or the answer is no   2 wrong usage   3 disk or damage
  4 the store is in use   5 not allowed   6 repaired, but not all of it   130 interrupted`

const COMPRESSIONS: readonly CompressionName[] = ['none', 'lz4', 'deflate', 'zstd']

function addGlobalOptions(program: Command): void {
  program
    .option('--data-dir <dir>', 'folder of the store', DEFAULT_DATA_DIR)
    .option('--engine <name>', 'storage engine (a new store gets "btree")')
    .addOption(
      new Option('--encoding <name>', 'how keys and values are typed and shown')
        .choices(ENCODINGS)
        .default('utf8'),
    )
    .addOption(
      new Option('--durability <level>', 'what a write waits for').choices(['none', 'os', 'disk']),
    )
    .addOption(
      new Option('--compression <name>', 'how a new store is compressed').choices(COMPRESSIONS),
    )
    .option('--key-file <file>', 'encryption key: the bytes of a file (or KVARK_KEY, hex)')
    .option('--passphrase-file <file>', 'encryption passphrase: a text file (or KVARK_PASSPHRASE)')
    .option('--json', 'print one JSON object per line, errors too')
    .option('--quiet', 'print results and errors only')
    .option('--no-color', 'no colours')
}

function addEntryCommands(program: Command, run: Run): void {
  program.commandsGroup('Entries:')
  addCodecOptions(
    addTableOption(program.command('set').alias('put').description('store a value under a key')),
  )
    .argument('<key>', 'the key')
    .argument(
      '<value>',
      'the value; - reads stdin, @file reads a file, @@ stands for an @ at the start',
    )
    .addOption(new Option('--if-absent', 'only if the key is not there yet').conflicts('ifVersion'))
    .option('--if-version <n>', 'only if the entry still has this version', wholeNumber)
    .option('--ttl <time>', EXPIRY_HELP, duration)
    .action(
      (
        key: string,
        value: string,
        options: CodecOptions & ConditionOptions & ExpiryOptions & TableArgument,
      ) => run((context) => set(context, key, value, options)),
    )
    .addHelpText(
      'after',
      examples(
        ['kvark set greeting "Hello, world"', 'makes the store ./data where there is none'],
        [
          'kvark set picture @cat.png --values bytes --data-dir ./pictures',
          'any bytes, in a store of bytes',
        ],
        ['printf "%s" "$TEXT" | kvark set note -', 'the value from stdin, exactly as it comes'],
        ['kvark set lock me --if-absent', 'exit code 1 if the key is there already'],
        ['kvark set session alice --ttl 30m', 'gone in half an hour'],
        ['kvark set -- -n 5', 'a key that begins with a dash'],
      ),
    )
  addTableOption(program.command('get').description('print the value of a key'))
    .argument('<key>', 'the key')
    .option('--raw', "print exactly the value's bytes, without a line end")
    .option('--output <file>', "write exactly the value's bytes into a file")
    .action((key: string, options: GetOptions) => run((context) => get(context, key, options)))
    .addHelpText(
      'after',
      examples(
        ['kvark get greeting', 'the value and a line end'],
        ['kvark get picture --output cat.png --data-dir ./pictures', 'byte for byte'],
        ['kvark get greeting --raw | sha256sum', 'byte for byte, to a pipe'],
        ['kvark get greeting --json', 'with the version, for --if-version'],
      ),
    )
  addTableOption(program.command('rm').aliases(['delete', 'del']).description('remove a key'))
    .argument('<key>', 'the key')
    .option('--if-version <n>', 'only if the entry still has this version', wholeNumber)
    .action((key: string, options: ConditionOptions & TableArgument) =>
      run((context) => rm(context, key, options)),
    )
    .addHelpText('after', examples(['kvark rm greeting', 'exit code 1 if it is not there']))
  addTableOption(program.command('touch').description('let a key expire at another time, or never'))
    .argument('<key>', 'the key')
    .option('--ttl <time>', `${EXPIRY_HELP}; never, if not given`, duration)
    .action((key: string, options: ExpiryOptions & TableArgument) =>
      run((context) => touch(context, key, options)),
    )
    .addHelpText(
      'after',
      examples(
        ['kvark touch session --ttl 30m', 'another half hour; exit code 1 if it is not there'],
        ['kvark touch session', 'for good'],
      ),
    )
  addTableOption(program.command('has').description('print whether a key is there'))
    .argument('<key>', 'the key')
    .action((key: string, options: TableArgument) => run((context) => has(context, key, options)))
    .addHelpText(
      'after',
      examples(
        ['kvark has greeting', 'true, or false and exit code 1'],
        ['kvark has greeting > /dev/null && echo yes', 'in a script'],
      ),
    )
  addRangeOptions(program.command('scan').description('print entries: key, tab, value'))
    .addOption(new Option('--keys-only', 'print keys only').conflicts('valuesOnly'))
    .option('--values-only', 'print values only')
    .action((options: ScanArguments) => run((context) => scan(context, options)))
    .addHelpText(
      'after',
      examples(
        ['kvark scan --limit 10', 'ten entries'],
        ['kvark scan --keys-only', 'keys only'],
        ['kvark scan --json', 'for values of several lines'],
      ),
    )
  addRangeOptions(program.command('count').description('print the number of entries'))
    .action((options: RangeArguments) => run((context) => count(context, options)))
    .addHelpText('after', examples(['kvark count', 'how many entries there are']))
  addBoundOptions(
    addTableOption(
      program
        .command('watch')
        .description('print what another process changes, one change a line, until Ctrl-C'),
    ).argument('[key]', 'only this key'),
    'Ranges:',
  )
    .optionsGroup('Options:')
    .action((key: string | undefined, options: WatchArguments) =>
      run((context) => watch(context, key, options)),
    )
    .addHelpText(
      'after',
      examples(
        ['kvark watch', 'all changes of the root, from now on'],
        ['kvark watch --prefix user:', 'of keys that begin with this'],
        ['kvark watch --table users --json', 'of a table, with versions'],
      ),
    )
}

function addTablesCommand(program: Command, run: Run): void {
  program
    .command('tables')
    .description('print the tables: name, codec of the keys, codec of the values')
    .action(() => run(tables))
    .addHelpText(
      'after',
      examples(
        ['kvark tables', 'the tables of ./data'],
        ['kvark scan --table users', 'the entries of one'],
      ),
    )
}

function addTransferCommands(program: Command, run: Run): void {
  program.commandsGroup('Import and export:')
  addCodecOptions(
    addTableOption(program.command('import').description('store entries from lines of JSON')),
  )
    .addArgument(new Argument('[file]', 'a file, or - for stdin').default('-'))
    .action((file: string, options: CodecOptions & TableArgument) =>
      run((context) => importEntries(context, file, options)),
    )
    .addHelpText(
      'after',
      `
Each line is {"key":"…","value":"…"}; bytes that are not UTF-8 are {"base64":"…"}.
${examples(
  ['kvark import entries.ndjson', 'from a file'],
  ['kvark export | kvark import --data-dir ./copy', 'from one store into another'],
  ['kvark dump --json | kvark import --data-dir ./copy', 'with all tables'],
)}`,
    )
  addRangeOptions(
    program
      .command('export')
      .description('write all entries of the root or of a table as lines of JSON'),
  )
    .addArgument(new Argument('[file]', 'a file, or - for stdout').default('-'))
    .action((file: string, options: RangeArguments) =>
      run((context) => exportEntries(context, file, options)),
    )
    .addHelpText(
      'after',
      examples(
        ['kvark export entries.ndjson', 'the file appears when it is complete'],
        ['kvark export | gzip > entries.ndjson.gz', 'to a pipe'],
      ),
    )
  addTableOption(
    program
      .command('dump')
      .description('print everything for people to read: all tables, versions, expiries'),
  )
    .action((options: TableArgument) => run((context) => dump(context, options)))
    .addHelpText(
      'after',
      examples(
        ['kvark dump | less', 'long values are cut'],
        ['kvark dump --table users', 'one table'],
        ['kvark dump --json', 'all of it, an object for each entry'],
      ),
    )
}

function addCareCommands(program: Command, run: Run): void {
  program.commandsGroup('Care:')
  program
    .command('stats')
    .description('print sizes and numbers')
    .action(() => run(stats))
    .addHelpText(
      'after',
      examples(['kvark stats', ''], ['kvark stats --json', 'all numbers, in bytes']),
    )
  program
    .command('verify')
    .description('read and check every byte')
    .action(() => run(verify))
    .addHelpText('after', examples(['kvark verify', 'exit code 3 if anything is damaged']))
  program
    .command('compact')
    .description('free the space of what was overwritten and removed')
    .action(() => run(compact))
    .addHelpText('after', examples(['kvark compact', 'it also happens by itself']))
  program
    .command('backup')
    .description('copy the store to another folder, checked and read back')
    .argument('<to>', 'the folder: nothing is there yet, or it is empty')
    .option(
      '--base <dir>',
      'an earlier backup, with which it shares what stays the same (engine log)',
    )
    .action((to: string, options: BackupArguments) =>
      run((context) => backup(context, to, options)),
    )
    .addHelpText(
      'after',
      examples(
        ['kvark backup ./backup', 'a store like the first'],
        ['kvark scan --data-dir ./backup', 'restoring is opening it'],
        ['kvark backup "/mnt/disk/$(date +%F)"', 'one for each day, on another disk'],
        ['kvark backup ./tuesday --base ./monday', 'only what is new takes room'],
      ),
    )
  program
    .command('repair')
    .description('copy what can be read of a damaged store to a new one, and tell what is lost')
    .argument('<to>', 'the folder: nothing is there yet, or it is empty')
    .option('--keys <codec>', 'codec of the keys, where the store cannot tell any more')
    .option('--values <codec>', 'codec of the values, likewise')
    .action((to: string, options: CodecOptions) =>
      run((context) => repairCommand(context, to, options)),
    )
    .addHelpText(
      'after',
      examples(
        ['kvark repair ./repaired', 'exit code 6 if anything is lost'],
        ['kvark repair ./repaired --json > report.json', 'the report for a program'],
      ),
    )
  program
    .command('destroy')
    .description('remove the store and all its entries for good')
    .option('--yes', 'really do it')
    .action((options: DestroyArguments) => run((context) => destroyCommand(context, options)))
    .addHelpText(
      'after',
      examples(
        ['kvark destroy --yes', 'removes ./data'],
        ['kvark destroy --yes --data-dir ./backup', 'also a damaged or unfinished one'],
      ),
    )
  program
    .command('inspect')
    .description('print the files of the store and what is in them, and draw a tree')
    .action(() => run(inspect))
    .addHelpText('after', examples(['kvark inspect', '']))
  addNewSecretOptions(
    program
      .command('convert')
      .description('copy all of a store to a new one of another engine, compression or secret')
      .argument('<from>', 'the folder of the store')
      .argument('<to>', 'the folder of the new one: nothing is there yet, or it is empty'),
  )
    .option('--page-bytes <n>', 'size of the pages of a new B+ tree: 4096 to 65536', wholeNumber)
    .option('--decrypt', 'the new store is not encrypted')
    .action((from: string, to: string, options: ConvertArguments) =>
      run((context) => convertStore(context, from, to, options)),
    )
    .addHelpText(
      'after',
      `
What is not given is as in the old store, which is only read. --key-file and --passphrase-file open it.
${examples(
  ['kvark convert ./data ./new --engine log', 'another engine'],
  ['kvark convert ./data ./new --compression lz4', 'compressed'],
  ['kvark convert ./data ./new --new-key-file my.key', 'encrypted'],
)}`,
    )
  addNewSecretOptions(
    program.command('rekey').description('give an encrypted store another key or passphrase'),
  )
    .action((options: RekeyArguments) => run((context) => rekeyStore(context, options)))
    .addHelpText(
      'after',
      examples([
        'kvark rekey --key-file old.key --new-key-file new.key',
        'the data stays as it is',
      ]),
    )
}

function addNewSecretOptions(command: Command): Command {
  return command
    .option('--new-key-file <file>', 'the new key: the bytes of a file (or KVARK_NEW_KEY, hex)')
    .option(
      '--new-passphrase-file <file>',
      'the new passphrase: a text file (or KVARK_NEW_PASSPHRASE)',
    )
}

function addCodecOptions(command: Command): Command {
  return command
    .option(
      '--keys <codec>',
      `codec of the keys of a new store or table: ${KEY_CODECS.join(', ')} (default utf8)`,
    )
    .option(
      '--values <codec>',
      `codec of the values of a new store or table: ${VALUE_CODECS.join(', ')} (default utf8)`,
    )
}

function addTableOption(command: Command): Command {
  return command.option('--table <name>', 'a table of the store (default: its root)')
}

function addRangeOptions(command: Command): Command {
  return addBoundOptions(
    addTableOption(command).option('--limit <n>', 'at most this many', wholeNumber),
    'Ranges (engines that keep keys in order):',
  )
    .option('--reverse', 'from the last to the first')
    .optionsGroup('Options:')
}

function addBoundOptions(command: Command, group: string): Command {
  return command
    .optionsGroup(group)
    .option('--prefix <key>', 'only keys that begin with this')
    .addOption(new Option('--gte <key>', 'from this key').conflicts('gt'))
    .option('--gt <key>', 'after this key')
    .addOption(new Option('--lte <key>', 'up to this key').conflicts('lt'))
    .option('--lt <key>', 'before this key')
}

const EXPIRY_HELP = 'let it expire after a time: 500ms, 90s, 30m, 12h, 7d'

function duration(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw new InvalidArgumentError('It must be a time above 0 with a unit: 500ms, 90s, 30m, 12h, 7d.')
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value
  throw new InvalidArgumentError('It must be a whole number.')
}

function examples(...lines: readonly (readonly [command: string, what: string])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length))
  return `\nExamples:\n${lines
    .map(([command, what]) =>
      `  $ ${command.padEnd(width)}${what === '' ? '' : `   # ${what}`}`.trimEnd(),
    )
    .join('\n')}`
}

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}
