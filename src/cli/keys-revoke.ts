import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { kidPattern } from '../keys/index.ts'
import { usageError } from './command-error.ts'
import { jsonOption, type OutputOptions } from './output.ts'
import { demandReason, printRevoked } from './revoke.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & { readonly reason?: string }

const kidExpression = new RegExp(kidPattern)

const act = async (kid: string, options: Options): Promise<void> => {
  if (!kidExpression.test(kid)) {
    throw usageError('this is not the kid of a key', '`cardea keys list` shows them')
  }
  demandReason(options.reason)
  const config = loadConfig()
  const revoked = await withCore(config, (core) =>
    core.revoke({
      target: { kind: 'key', kid },
      note: options.reason,
      actor: commandLineActor,
    }),
  )
  printRevoked(options, revoked)
}

export const revokeKeyCommand = (): Command =>
  new Command('revoke')
    .description('take a signing key out of use at once, and every token that it signed with it')
    .argument('<kid>', 'as `keys list` shows it')
    // A kid begins with `-` once in 64 times, and would be refused as an option that does not exist; what is no kid is refused above.
    .allowUnknownOption()
    .option('--reason <text>', 'your words for the audit trail')
    .option(...jsonOption)
    .action(act)
