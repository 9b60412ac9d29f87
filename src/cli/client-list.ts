import { Command } from 'commander'
import type { Core } from '../compose/core.ts'
import { loadConfig } from '../config/index.ts'
import { describeClient } from '../oauth/index.ts'
import { jsonOption, type OutputOptions, printResult } from './output.ts'
import { withCore } from './with-core.ts'

type Shown = ReturnType<typeof describeClient>

const lineOf = ({
  client_id: id,
  created_at: created,
  disabled_at: disabled,
  name,
  owner,
}: Shown) => {
  const status = (disabled ? 'disabled' : 'active').padEnd('disabled'.length)
  return [id, status, created, name, ...(owner ? [`of ${owner}`] : [])].join('  ')
}

const read = async ({ serviceClients }: Core): Promise<Shown[]> =>
  (await serviceClients.store.list()).map(describeClient)

export const listClientsCommand = (): Command =>
  new Command('list')
    .description('show all service clients: id, status, creation, name, owner')
    .option(...jsonOption)
    .action(async (options: OutputOptions) => {
      const config = loadConfig()
      const clients = await withCore(config, read)
      printResult(options, { clients }, clients.map(lineOf))
    })
