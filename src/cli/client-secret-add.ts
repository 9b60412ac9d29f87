import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { demandId } from './id-option.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandLineActor, withCore } from './with-core.ts'

/** Prints a secret, as `client create` does. */
const act = async (clientId: string, options: OutputOptions): Promise<void> => {
  demandId('client_id', clientId)
  const config = loadConfig()
  const added = await withCore(config, ({ serviceClients }) =>
    serviceClients.addSecret({ clientId, actor: commandLineActor }),
  )
  const shown = {
    client_id: added.clientId,
    client_secret: added.clientSecret,
    secret_id: added.secretId,
  }
  printResult(options, shown, [
    ...factLines(shown),
    'The secret is not shown again: only its hash is kept.',
  ])
}

export const addClientSecretCommand = (): Command =>
  new Command('add')
    .description('add a secret to a client, beside those it has; prints it, this once')
    .argument('<client_id>', 'as `client create` printed it')
    // An id begins with `-` once in 64 times, and would be refused as an option that does not exist; `demandId` refuses what is none.
    .allowUnknownOption()
    .option(...jsonOption)
    .action(act)
