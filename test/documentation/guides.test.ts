import { execFile, spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { findRedis } from '../support/servers/find-redis.ts'
import { freePort } from '../support/servers/free-port.ts'
import { connectPatiently, startRedis } from '../support/servers/redis-server.ts'
import { startCardea } from '../support/service/cardea.ts'
import { readPage } from './markdown.ts'

type Claims = Record<string, unknown> & { jti: string; sid: string; sub: string }

let operator: string

/** The first block of this language on a page. */
const snippet = (page: string, language: string): string => {
  const block = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(readPage(page))
  if (!block?.[1]) throw new Error(`${page} has no ${language} block`)
  return block[1]
}

const redisServer = await startRedis()
const port = await freePort()
const issuer = `http://127.0.0.1:${port}`
const cardea = await startCardea({
  redisUrl: redisServer.url,
  config: { port, issuer, audiences: [issuer] },
})
const redis = connectPatiently(redisServer.url)
operator = await cardea.operatorToken()
afterAll(async () => {
  await redis.close()
  await cardea.stop()
  await redisServer.stop()
})

const claimsOf = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const logIn = async () => {
  const account = await cardea.createAccount()
  const { accessToken } = await cardea.client.logIn(account)
  return { account, accessToken, claims: claimsOf(accessToken) }
}

const revoke = (body: Record<string, unknown>) =>
  cardea.client.post('/admin/revoke', { token: operator, body })

describe('the guide to verifying tokens', () => {
  const page = 'docs/guides/verify-tokens.md'

  test('shows the ten lines of the verifier as its own page does, where they are compiled and run', () => {
    const shown = snippet(page, 'ts').replace(
      /https:\/\/(auth|shop)\.example\.com/g,
      'http://127.0.0.1:8088',
    )
    expect(shown).toBe(snippet('packages/verifier/README.md', 'ts'))
  })

  /** In a process of its own, which knows the issuer and nothing else. */
  const verifyElsewhere = async (token: string) => {
    const source = snippet(page, 'js')
      .replaceAll('https://auth.example.com', cardea.config.issuer)
      .replaceAll('https://shop.example.com', cardea.config.issuer)
    const script = `${source}\nconsole.log(JSON.stringify(await verify(process.argv[1])))`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', token])
    const [printed, complaints] = await Promise.all([text(child.stdout), text(child.stderr)])
    return { printed, complaints }
  }

  test('shows code that verifies a token, knowing only the issuer', async () => {
    const { accessToken, claims } = await logIn()
    expect(JSON.parse((await verifyElsewhere(accessToken)).printed)).toEqual(claims)
  })

  test('shows code that refuses an altered token', async () => {
    const { accessToken } = await logIn()
    const [header, , signature] = accessToken.split('.')
    const other = Buffer.from('{"sub":"somebody else"}').toString('base64url')
    const { printed, complaints } = await verifyElsewhere(`${header}.${other}.${signature}`)
    expect(printed).toBe('')
    expect(complaints).toContain('JWSSignatureVerificationFailed')
  })
})

describe('the guide to asking Redis', () => {
  const page = 'docs/guides/ask-redis.md'
  let isRevoked: (client: unknown, claims: Claims) => Promise<boolean>

  beforeAll(async () => {
    const source = Buffer.from(snippet(page, 'js')).toString('base64')
    ;({ isRevoked } = await import(/* @vite-ignore */ `data:text/javascript;base64,${source}`))
    await vi.waitUntil(async () => (await redis.client.get('cardea:mirror:intact')) !== null)
  })

  test('shows code that tells revoked tokens of every kind from those that are good', async () => {
    const byToken = await logIn()
    const bySession = await logIn()
    const byAccount = await logIn()
    const byRoles = await logIn()
    const untouched = await logIn()
    await revoke({ jti: byToken.claims.jti })
    await revoke({ sid: bySession.claims.sid })
    await revoke({ sub: byAccount.claims.sub })
    await cardea.client.send('PATCH', `/admin/accounts/${byRoles.claims.sub}`, {
      token: operator,
      body: { roles: ['editor'] },
    })
    for (const { claims } of [byToken, bySession, byAccount, byRoles]) {
      expect(await isRevoked(redis.client, claims)).toBe(true)
    }
    expect(await isRevoked(redis.client, untouched.claims)).toBe(false)

    const again = await cardea.client.logIn(byAccount.account)
    expect(await isRevoked(redis.client, claimsOf(again.accessToken))).toBe(false)

    await revoke({ everyone: true })
    expect(await isRevoked(redis.client, untouched.claims)).toBe(true)
    const after = await logIn()
    expect(await isRevoked(redis.client, after.claims)).toBe(false)
    operator = await cardea.operatorToken()
  })

  test('shows code that answers nothing while entries are lost, and knows them again by itself', async () => {
    const { claims } = await logIn()
    await revoke({ sid: claims.sid })
    await redis.client.flushall()
    await expect(isRevoked(redis.client, claims)).rejects.toThrow('lost its entries')
    await vi.waitUntil(async () => (await redis.client.get('cardea:mirror:intact')) !== null)
    expect(await isRevoked(redis.client, claims)).toBe(true)
  })

  test('shows a question by hand whose answer says what is revoked', async () => {
    const { path, env } = await findRedis()
    const program = path.includes('/') ? join(dirname(path), 'redis-cli') : 'redis-cli'
    // `command`: one that is on the PATH has the name of the function.
    const script = `redis-cli() { command ${program} -u ${redisServer.url} "$@"; }\n${snippet(page, 'sh')}`
    const { claims } = await logIn()
    await revoke({ sid: claims.sid })
    const variables = { JTI: claims.jti, SID: claims.sid, KID: 'none', SUB: claims.sub }
    const { stdout } = await promisify(execFile)('bash', ['-c', script], {
      env: { ...env, ...variables },
    })
    const [token, session, key, account] = stdout.split('\n')
    expect([token, session, key, account]).toEqual(['', '1', '', ''])
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('1')
  })

  test('shows a user for Redis that may ask and do nothing else', async () => {
    const [, , user = '', ...rules] = snippet(page, 'text').trim().split(' ')
    expect(await redis.client.acl('SETUSER', user, ...rules)).toBe('OK')
    const address = redisServer.url.replace('//', `//${user}:PASSWORD@`)
    const shop = connectPatiently(address)
    const asShop = shop.client
    onTestFinished(() => shop.close())
    const { claims } = await logIn()
    await vi.waitUntil(shop.isReady)
    expect(await isRevoked(asShop, claims)).toBe(false)
    await expect(asShop.set('cardea:revoked:everyone', '0')).rejects.toThrow('NOPERM')
    await expect(asShop.get('cardea:limit:global:all')).rejects.toThrow('NOPERM')
    await expect(asShop.keys('*')).rejects.toThrow('NOPERM')
  })
})
