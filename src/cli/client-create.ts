import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & { readonly name: string }

/** The one command that prints a secret: it exists nowhere else, and whoever runs it has to put it somewhere. */
const act = async ({ name, ...options }: Options): Promise<void> => {
  const config = loadConfig()
  const created = await withCore(config, ({ serviceClients }) =>
    serviceClients.create({ name, actor: commandLineActor }),
  )
  const shown = {
    client_id: created.clientId,
    client_secret: created.clientSecret,
    name: created.name,
  }
  printResult(options, shown, [
    ...factLines(shown),
    'The secret is not shown again: only its hash is kept.',
  ])
}

export const createClientCommand = (): Command =>
  new Command('create')
    .description('add a service client; prints its secret, this once')
    .requiredOption('--name <name>', '1 to 64 letters, digits, dots, underscores and hyphens')
    .option(...jsonOption)
    .action(act)
