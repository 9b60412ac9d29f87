import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { secretRing } from '../../src/keys/index.ts'
import { sealingKeys } from '../../src/tokens/index.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { startCardea } from '../support/service/cardea.ts'
import { runCli, runCliProcess } from './run-cli.ts'

const secrets = ['the-first-secret-which-is-long-enough', 'the-second-secret-which-is-long-enough']
const shop = 'https://shop.example.com'
const keysOf = (audience: string) =>
  sealingKeys(secretRing(secrets), audience).map(({ key }) => key.toString('base64url'))

const cardea = await startCardea({ redisUrl: null })
const folder = await scratchFolder('sealed-key')
const settings = {
  DATA_DIR: join(folder.path, 'data'),
  DATABASE_URL: cardea.stores.databaseUrl,
  CARDEA_SECRET: secrets.join(','),
  AUDIENCE: `${shop},https://api.example.com`,
  ISSUER: cardea.config.issuer,
}
afterAll(async () => {
  await cardea.stop()
  await folder.remove()
})

test('prints the keys of an audience, the one that seals first, and warns where no pipe takes it along', async () => {
  const ran = await runCliProcess(['sealed-key', '--audience', shop], settings)
  expect([ran.code, ran.stdout]).toEqual([0, `${keysOf(shop).join('\n')}\n`])
  expect(ran.stderr).toMatch(/^warning: .*keep them secret\n$/)
})

test('prints them as JWKs for other libraries, and nothing else', async () => {
  const { issuer } = cardea.config
  const ran = await runCli(['sealed-key', '--audience', issuer, '--json'], settings)
  expect([ran.code, ran.stderr]).toEqual([0, ''])
  expect(ran.json()).toEqual({
    audience: issuer,
    keys: keysOf(issuer).map((k) => ({
      kty: 'oct',
      k,
      kid: expect.stringMatching(/^[\w-]{43}$/),
      use: 'enc',
      alg: 'A256GCM',
    })),
  })
})

test('refuses an audience that gets no tokens, and prints no key', async () => {
  const ran = await runCli(['sealed-key', '--audience', `${shop}/`], settings)
  expect([ran.code, ran.stdout]).toEqual([1, ''])
  expect(ran.stderr).toContain('issues no tokens for that audience')
  expect((await runCli(['sealed-key'], settings)).code).toBe(2)
})
