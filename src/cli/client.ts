import { Command } from 'commander'
import { createClientCommand } from './client-create.ts'
import { disableClientCommand } from './client-disable.ts'
import { listClientsCommand } from './client-list.ts'
import { clientSecretCommand } from './client-secret.ts'

export const clientCommand = (): Command => {
  const client = new Command('client').description('add, show and disable service clients')
  for (const command of [
    createClientCommand(),
    listClientsCommand(),
    disableClientCommand(),
    clientSecretCommand(),
  ]) {
    client.addCommand(command)
  }
  return client
}
