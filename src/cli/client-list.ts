import { Command } from 'commander'
import type { Core } from '../compose/core.ts'
import { loadConfig } from '../config/index.ts'
import { type DescribedClient, describeClient } from './describe-client.ts'
import { jsonOption, type OutputOptions, printResult } from './output.ts'
import { withCore } from './with-core.ts'

const lineOf = ({
  client_id: id,
  created_at: created,
  disabled_at: disabled,
  name,
}: DescribedClient) =>
  [id, (disabled ? 'disabled' : 'active').padEnd('disabled'.length), created, name].join('  ')

const read = async ({ serviceClients }: Core): Promise<DescribedClient[]> =>
  (await serviceClients.store.list()).map(describeClient)

export const listClientsCommand = (): Command =>
  new Command('list')
    .description('show all service clients: id, status, creation, name')
    .option(...jsonOption)
    .action(async (options: OutputOptions) => {
      const config = loadConfig()
      const clients = await withCore(config, read)
      printResult(options, { clients }, clients.map(lineOf))
    })
