import { Command } from 'commander'
import type { Config } from '../config/index.ts'
import { sealingKeys } from '../tokens/index.ts'
import { CommandError, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandConfig, withCore } from './with-core.ts'

type SealedKeyOptions = OutputOptions & { readonly audience: string }

/** Tokens have only these audiences, so a key for another one would be a typing mistake that decrypts nothing. */
const assertAudience = ({ audiences, issuer }: Config, audience: string): void => {
  if (audience === issuer || audiences.includes(audience)) return
  throw new CommandError(
    'unknown_audience',
    'this service issues no tokens for that audience',
    `the audiences are those of AUDIENCE, and the ISSUER: ${[...audiences, issuer].join(', ')}`,
  )
}

const warning =
  'warning: these keys decrypt the access tokens in the sealed cookies of this audience; keep them secret\n'

/** The web app needs the key, so it is printed: only on standard output, to be piped into a secret store. */
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
    .description(
      'print the keys that decrypt the sealed sessions of one audience: they are secrets',
    )
    .requiredOption('--audience <audience>', 'one of AUDIENCE, or the ISSUER')
    .option(...jsonOption)
    .action(printSealedKey)
