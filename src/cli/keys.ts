import { Command } from 'commander'
import { kidPattern, type SigningKeyRecord } from '../keys/index.ts'
import { jsonOption, type OutputOptions, printResult, usageError } from './output.ts'
import { assertReason, printRevoked } from './revoke.ts'
import { rotateKeysCommand } from './rotate-keys.ts'
import { commandConfig, commandLineActor, withCore } from './with-core.ts'

type ListOptions = OutputOptions & { readonly all?: true }

type Shown = {
  readonly kid: string
  readonly state: string
  readonly algorithm: string
  readonly created_at: string
  readonly activated_at?: string
  readonly retired_at?: string
  readonly revoked_at?: string
}

const timeOf = <Name extends string>(name: Name, ms: number | undefined) =>
  ms === undefined ? {} : { [name]: new Date(ms).toISOString() }

const describe = (key: SigningKeyRecord): Shown => ({
  kid: key.kid,
  state: key.state,
  algorithm: key.algorithm,
  created_at: new Date(key.createdAtMs).toISOString(),
  ...timeOf('activated_at', key.activatedAtMs),
  ...timeOf('retired_at', key.retiredAtMs),
  ...timeOf('revoked_at', key.revokedAtMs),
})

/** The latest change of the key. */
const since = ({ created_at, activated_at, retired_at, revoked_at }: Shown): string => {
  if (revoked_at) return `revoked ${revoked_at}`
  if (retired_at) return `retired ${retired_at}`
  return activated_at ? `signs since ${activated_at}` : `published ${created_at}`
}

const lineOf = (key: Shown): string =>
  [
    key.kid,
    key.state.padEnd('retiring'.length),
    key.algorithm.padEnd('Ed25519'.length),
    since(key),
  ].join('  ')

const listKeysCommand = (): Command =>
  new Command('list')
    .description('show the signing keys: kid, state, algorithm, since when')
    .option('--all', 'also those that were erased')
    .option(...jsonOption)
    .action(async ({ all, ...options }: ListOptions) => {
      const config = await commandConfig()
      const every = await withCore(config, ({ keys }) => keys.list())
      const keys = every.filter(({ state }) => all || state !== 'gone').map(describe)
      printResult(options, { keys }, keys.map(lineOf))
    })

type RevokeOptions = OutputOptions & { readonly reason?: string }

const kidExpression = new RegExp(kidPattern)

const revokeOne = async (kid: string, options: RevokeOptions): Promise<void> => {
  if (!kidExpression.test(kid)) {
    throw usageError('this is not the kid of a key', '`cardea keys list` shows them')
  }
  assertReason(options.reason)
  const config = await commandConfig()
  const revoked = await withCore(config, (core) =>
    core.revoke({
      target: { kind: 'key', kid },
      note: options.reason,
      actor: commandLineActor,
    }),
  )
  printRevoked(options, revoked)
}

const revokeKeyCommand = (): Command =>
  new Command('revoke')
    .description('withdraw a signing key at once and revoke every token that it signed')
    .argument('<kid>', 'as `keys list` shows it')
    // One kid in 64 begins with `-` and would be refused as an unknown option. The check above refuses what is not a kid.
    .allowUnknownOption()
    .option('--reason <text>', 'a reason for the audit trail')
    .option(...jsonOption)
    .action(revokeOne)

export const keysCommand = (): Command => {
  const keys = new Command('keys').description('show, rotate and revoke signing keys')
  for (const command of [listKeysCommand(), rotateKeysCommand(), revokeKeyCommand()]) {
    keys.addCommand(command)
  }
  return keys
}
