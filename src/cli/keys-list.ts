import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import type { SigningKeyRecord } from '../keys/index.ts'
import { jsonOption, type OutputOptions, printResult } from './output.ts'
import { withCore } from './with-core.ts'

type Options = OutputOptions & { readonly all?: true }

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

export const listKeysCommand = (): Command =>
  new Command('list')
    .description('show the signing keys: kid, state, algorithm, since when')
    .option('--all', 'those that are gone, too')
    .option(...jsonOption)
    .action(async ({ all, ...options }: Options) => {
      const config = loadConfig()
      const every = await withCore(config, ({ keys }) => keys.list())
      const keys = every.filter(({ state }) => all || state !== 'gone').map(describe)
      printResult(options, { keys }, keys.map(lineOf))
    })
