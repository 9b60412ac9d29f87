import { Command, CommanderError, type Option } from 'commander'
import { version } from '../app.ts'
import { exitCodes, explainFailure, type Failure, failureText } from '../explain-failure.ts'
import { accountCommand } from './accounts.ts'
import { auditCommand } from './audit.ts'
import { clientCommand } from './clients.ts'
import { doctorCommand } from './doctor.ts'
import { keysCommand } from './keys.ts'
import { CommandError, usageError } from './output.ts'
import { revokeCommand } from './revoke.ts'
import { sealedKeyCommand } from './sealed-key.ts'
import { migrateCommand, psqlCommand, serveCommand } from './serve.ts'
import { sessionCommand } from './session.ts'

/** Commander copies settings only to commands that it creates itself. */
const passOnSettings = (command: Command): void => {
  for (const child of command.commands) passOnSettings(child.copyInheritedSettings(command))
}

/** The parser would silently drop one of two values: an operator who revokes two accounts at once would have revoked one. */
const takeOnce =
  ({ long }: Option) =>
  (value: string, before: unknown): string => {
    if (before === undefined) return value
    throw usageError(`${long} was given twice`, 'give it once, and run the command once for each')
  }

const takeOptionsOnce = (command: Command): void => {
  for (const option of command.options) {
    const takesOne = option.required || option.optional
    if (takesOne && option.parseArg === undefined) option.argParser(takeOnce(option))
  }
  for (const child of command.commands) takeOptionsOnce(child)
}

/** The whole command line as a tree. A test checks `docs/reference/cli.md` against it. */
export const commandTree = (): Command => {
  const tree = new Command('cardea')
    .description('Sessions and tokens that can be revoked. Settings come from the environment.')
    .version(version, '--version', 'print the version')
    .helpOption('--help', 'show how to use it')
    // Otherwise an id such as -VqK… after `revoke --sid` would be parsed as an option of `cardea` itself.
    .enablePositionalOptions()
    // Turns mistakes into errors, so that one place writes their texts.
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  for (const command of [
    serveCommand(),
    migrateCommand(),
    accountCommand(),
    sessionCommand(),
    clientCommand(),
    keysCommand(),
    sealedKeyCommand(),
    revokeCommand(),
    auditCommand(),
    psqlCommand(),
    doctorCommand(),
  ]) {
    tree.addCommand(command)
  }
  passOnSettings(tree)
  takeOptionsOnce(tree)
  return tree
}

/** The text after a mistyped option name may be a secret (`--pasword=…`, `-p…`), so only the name is printed. */
const unknownOption = /^error: unknown option '(--[^=']*(?=[='])|-[^-']?)[^']*'/

const usageFailure = ({ code, message }: CommanderError): Failure => {
  const words = message.replace(unknownOption, "error: unknown option '$1'").replace(/^error: /, '')
  // Commander puts its guess ("Did you mean …?") on a second line.
  const [what = '', guess] =
    code === 'commander.help' ? ['a command is missing'] : words.split('\n')
  const see = '`cardea --help` and `cardea <command> --help` list the commands and options'
  return {
    messages: [what],
    hint: guess === undefined ? see : `${guess.replace(/^\((.*)\)$/, '$1')} ${see}`,
    code: 'usage',
    exitCode: exitCodes.usage,
  }
}

const failureOf = (error: unknown): Failure => {
  if (error instanceof CommanderError) return usageFailure(error)
  return error instanceof CommandError ? error.failure : explainFailure(error)
}

const failureJson = ({ messages, hint, code }: Failure): string =>
  `${JSON.stringify({ error: messages.join('; '), hint, code })}\n`

const printOnStderr = (text: string): void => {
  process.stderr.write(text)
}

/**
 * Runs one command. `printError` is called with the text of a failure.
 * @returns the exit code of the process
 */
export const runCommandLine = async (
  args: readonly string[],
  printError = printOnStderr,
): Promise<number> => {
  // Commander cannot tell: when it cannot parse the arguments, a script still needs JSON.
  const isJson = args.includes('--json')
  try {
    await commandTree().parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    // The help or the version was requested and has been printed.
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const failure = failureOf(error)
    printError(isJson ? failureJson(failure) : failureText(failure))
    return failure.exitCode
  }
}
