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

/** Commander passes settings on only to commands that it makes itself. */
const passOnSettings = (command: Command): void => {
  for (const child of command.commands) passOnSettings(child.copyInheritedSettings(command))
}

/** Of two values the parser would drop one in silence: whoever revokes two accounts at once would have revoked one. */
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

/** The whole command line as a tree; `docs/reference/cli.md` is tested against it. */
export const commandTree = (): Command => {
  const tree = new Command('cardea')
    .description('Sessions and tokens that can be taken back. Settings come from the environment.')
    .version(version, '--version', 'print the version')
    .helpOption('--help', 'say how to use it')
    // Else an id such as -VqK… after `revoke --sid` would be taken for an option of `cardea` itself.
    .enablePositionalOptions()
    // Mistakes come back as errors and are put into our words, in one place.
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

/** What was typed after a mistaken option's name may be a secret (`--pasword=…`, `-p…`): the name is all that is said. */
const unknownOption = /^error: unknown option '(--[^=']*(?=[='])|-[^-']?)[^']*'/

const usageFailure = ({ code, message }: CommanderError): Failure => {
  const words = message.replace(unknownOption, "error: unknown option '$1'").replace(/^error: /, '')
  // Commander's own guess ("Did you mean …?") comes on a second line.
  const [what = '', guess] =
    code === 'commander.help' ? ['a command is missing'] : words.split('\n')
  const see = '`cardea --help` and `cardea <command> --help` show what there is'
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

const tellOnStderr = (text: string): void => {
  process.stderr.write(text)
}

/**
 * Runs one command; `tell` is given what went wrong, in words.
 * @returns the exit code of the process
 */
export const runCommandLine = async (
  args: readonly string[],
  tell = tellOnStderr,
): Promise<number> => {
  // Not asked of commander: when it cannot read the arguments, a script still wants JSON.
  const isJson = args.includes('--json')
  try {
    await commandTree().parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    // Help or the version was asked for and is printed.
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const failure = failureOf(error)
    tell(isJson ? failureJson(failure) : failureText(failure))
    return failure.exitCode
  }
}
