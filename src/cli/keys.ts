import { Command } from 'commander'
import type { Config } from '../config/index.ts'
import type { Core } from '../core.ts'
import { kidPattern, type SigningKeyRecord } from '../keys/index.ts'
import { sealingKeys } from '../tokens/index.ts'
import { CommandError, jsonOption, type OutputOptions, printResult, usageError } from './output.ts'
import { assertReason, printRevoked } from './revoke.ts'
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

/** The last thing that happened to it. */
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
    .option('--all', 'those that are gone, too')
    .option(...jsonOption)
    .action(async ({ all, ...options }: ListOptions) => {
      const config = await commandConfig()
      const every = await withCore(config, ({ keys }) => keys.list())
      const keys = every.filter(({ state }) => all || state !== 'gone').map(describe)
      printResult(options, { keys }, keys.map(lineOf))
    })

const rotate = async ({ keys }: Core) => {
  if ((await keys.list()).length === 0) {
    throw new CommandError(
      'no_signing_keys',
      'there are no signing keys yet',
      'the first start of the service makes them',
    )
  }
  return keys.rotate(commandLineActor)
}

type KeyRotation = Awaited<ReturnType<typeof rotate>>

const documentOf = (rotation: KeyRotation) => {
  switch (rotation.kind) {
    case 'rotated':
      return { result: 'rotated', active: rotation.active, next: rotation.next }
    case 'planned':
      return {
        result: 'planned',
        next: rotation.next,
        algorithm: rotation.algorithm,
        signs_from: new Date(rotation.atMs).toISOString(),
      }
    case 'done_by_another':
      return { result: 'done_by_another' }
  }
}

const linesOf = (rotation: KeyRotation): string[] => {
  switch (rotation.kind) {
    case 'rotated':
      return [`${rotation.active} signs now`, `${rotation.next} is published and will be next`]
    case 'planned':
      return [
        `${rotation.next} (${rotation.algorithm}) signs from ${new Date(rotation.atMs).toISOString()} on`,
        'until then verifiers learn of it; the running service does the rest',
      ]
    case 'done_by_another':
      return ['another instance changed the keys at this very moment; nothing was done here']
  }
}

const rotateKeysCommand = (): Command =>
  new Command('rotate')
    .description(
      'let the next signing key sign: now if it has been published for an hour, else then',
    )
    .option(...jsonOption)
    .action(async (options: OutputOptions) => {
      const config = await commandConfig()
      const rotation = await withCore(config, rotate)
      printResult(options, documentOf(rotation), linesOf(rotation))
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
    .description('take a signing key out of use at once, and every token that it signed with it')
    .argument('<kid>', 'as `keys list` shows it')
    // A kid begins with `-` once in 64 times, and would be refused as an option that does not exist; what is no kid is refused above.
    .allowUnknownOption()
    .option('--reason <text>', 'your words for the audit trail')
    .option(...jsonOption)
    .action(revokeOne)

type SealedKeyOptions = OutputOptions & { readonly audience: string }

/** No token is ever for another one, so a key of it would be a typing error that opens nothing. */
const assertAudience = ({ audiences, issuer }: Config, audience: string): void => {
  if (audience === issuer || audiences.includes(audience)) return
  throw new CommandError(
    'unknown_audience',
    'this service issues no tokens for that audience',
    `the audiences are those of AUDIENCE, and the ISSUER: ${[...audiences, issuer].join(', ')}`,
  )
}

const warning =
  'warning: whoever has these keys can take the access tokens out of the sealed cookies of this audience; keep them as secrets\n'

/** A key has no other way to the web app that needs it, so it is printed: on standard output alone, for a pipe into a secret store. */
const printSealedKey = async ({ audience, ...options }: SealedKeyOptions): Promise<void> => {
  const config = await commandConfig()
  assertAudience(config, audience)
  const keys = await withCore(config, async ({ ring }) => sealingKeys(ring, audience))
  const shown = keys.map(({ kid, key }) => ({ kid, text: key.toString('base64url') }))
  const jwks = shown.map(({ kid, text }) => ({
    kty: 'oct',
    k: text,
    kid,
    use: 'enc',
    alg: 'A256GCM',
  }))
  if (!options.json) process.stderr.write(warning)
  printResult(
    options,
    { audience, keys: jwks },
    shown.map(({ text }) => text),
  )
}

export const sealedKeyCommand = (): Command =>
  new Command('sealed-key')
    .description('print the keys that open the sealed sessions of one audience: they are secrets')
    .requiredOption('--audience <audience>', 'one of AUDIENCE, or the ISSUER')
    .option(...jsonOption)
    .action(printSealedKey)

export const keysCommand = (): Command => {
  const keys = new Command('keys').description('show, rotate and revoke signing keys')
  for (const command of [listKeysCommand(), rotateKeysCommand(), revokeKeyCommand()]) {
    keys.addCommand(command)
  }
  return keys
}
