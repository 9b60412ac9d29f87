import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { describeClientSecret, secretIdPattern } from '../oauth/index.ts'
import { usageError } from './command-error.ts'
import { demandId } from './id-option.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandLineActor, withCore } from './with-core.ts'

const isSecretId = new RegExp(secretIdPattern)

const act = async (clientId: string, secretId: string, options: OutputOptions): Promise<void> => {
  demandId('client_id', clientId)
  if (!isSecretId.test(secretId)) {
    throw usageError(
      'secret_id is not the id of a secret',
      '`cardea client secret list` shows them',
    )
  }
  const config = loadConfig()
  const secret = await withCore(config, ({ serviceClients }) =>
    serviceClients.revokeSecret({ clientId, secretId, actor: commandLineActor }),
  )
  const shown = describeClientSecret(secret)
  printResult(options, shown, factLines(shown))
}

export const revokeClientSecretCommand = (): Command =>
  new Command('revoke')
    .description('let a client in no more by one of its secrets')
    .argument('<client_id>', 'as `client create` printed it')
    .argument('<secret_id>', 'as `client secret list` shows it')
    // Both ids may begin with `-`.
    .allowUnknownOption()
    .option(...jsonOption)
    .action(act)
