import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { describeClient } from '../oauth/index.ts'
import { demandId } from './id-option.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandLineActor, withCore } from './with-core.ts'

const act = async (clientId: string, options: OutputOptions): Promise<void> => {
  demandId('client_id', clientId)
  const config = loadConfig()
  const client = await withCore(config, ({ serviceClients }) =>
    serviceClients.disable({ clientId, actor: commandLineActor }),
  )
  const shown = describeClient(client)
  const { scopes, audiences, ...facts } = shown
  const lists = { scope: scopes.join(' '), audiences: audiences.join(' ') }
  printResult(options, shown, factLines({ ...facts, ...lists }))
}

export const disableClientCommand = (): Command =>
  new Command('disable')
    .description('shut a service client out, for good, and take its tokens back')
    .argument('<client_id>', 'as `client create` printed it')
    // An id begins with `-` once in 64 times, and would be refused as an option that does not exist; `demandId` refuses what is none.
    .allowUnknownOption()
    .option(...jsonOption)
    .action(act)
