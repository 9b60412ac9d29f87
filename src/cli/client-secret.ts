import { Command } from 'commander'
import { addClientSecretCommand } from './client-secret-add.ts'
import { listClientSecretsCommand } from './client-secret-list.ts'
import { revokeClientSecretCommand } from './client-secret-revoke.ts'

export const clientSecretCommand = (): Command => {
  const secret = new Command('secret').description('add, show and revoke secrets of a client')
  for (const command of [
    addClientSecretCommand(),
    listClientSecretsCommand(),
    revokeClientSecretCommand(),
  ]) {
    secret.addCommand(command)
  }
  return secret
}
