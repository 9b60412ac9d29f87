import { Command } from 'commander'
import { listKeysCommand } from './keys-list.ts'
import { revokeKeyCommand } from './keys-revoke.ts'
import { rotateKeysCommand } from './keys-rotate.ts'

export const keysCommand = (): Command => {
  const keys = new Command('keys').description('show, rotate and revoke signing keys')
  for (const command of [listKeysCommand(), rotateKeysCommand(), revokeKeyCommand()]) {
    keys.addCommand(command)
  }
  return keys
}
