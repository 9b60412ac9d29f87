import { Option } from 'commander'
import { usageError } from './command-error.ts'

/** Known to the parser only to be refused with the reason, and never to be quoted as a mistake. */
export const passwordOption = (): Option => new Option('--password [password]').hideHelp()

export const refusePassword = (given: string | true | undefined): void => {
  if (given === undefined) return
  throw usageError(
    'a password on the command line can be read by every user of this machine',
    'leave it out and type it when asked, or send it as the first line of standard input',
  )
}
