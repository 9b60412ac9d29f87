import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { describeClientSecret, oauthErrors } from '../oauth/index.ts'
import { demandId } from './id-option.ts'
import { jsonOption, type OutputOptions, printResult } from './output.ts'
import { withCore } from './with-core.ts'

const act = async (clientId: string, options: OutputOptions): Promise<void> => {
  demandId('client_id', clientId)
  const config = loadConfig()
  const secrets = await withCore(config, async ({ serviceClients: { store } }) => {
    if (!(await store.find(clientId))) throw oauthErrors.error('client_not_found')
    return (await store.secrets(clientId)).map(describeClientSecret)
  })
  const lines = secrets.map(({ secret_id: id, created_at: created, revoked_at: revoked }) =>
    [id, (revoked ? 'revoked' : 'live').padEnd('revoked'.length), created].join('  '),
  )
  printResult(options, { secrets }, lines)
}

export const listClientSecretsCommand = (): Command =>
  new Command('list')
    .description('show the secrets of a client: id, status, creation')
    .argument('<client_id>', 'as `client create` printed it')
    .allowUnknownOption()
    .option(...jsonOption)
    .action(act)
