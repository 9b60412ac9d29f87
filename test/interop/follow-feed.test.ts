import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Fate, startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { newServiceClient, type TestServiceClient } from '../support/service/service-client.ts'
import { revokeAt } from '../support/verifier/verifier-revocations.ts'
import { logInAt } from '../support/verifier/verifier-tokens.ts'
import { guidePage, guideVerifier, runGuide } from './guide-code.ts'

let cardea: Cardea
let proxy: TcpProxy
let fate: Fate = 'pass'
let client: TestServiceClient
let operator: string
const processes: ForeignProcess[] = []

/** The guide's verifier and its copy, which reaches the feed through the proxy. */
const startFollower = async (secret = client.clientSecret): Promise<ForeignProcess> => {
  const { issuer } = cardea.config
  const follower = await runGuide(
    'python',
    'follow-feed.py',
    [guideVerifier(issuer), { page: guidePage, name: 'cardea_replica.py' }],
    [`http://127.0.0.1:${proxy.port}`, client.clientId, secret],
  )
  processes.push(follower)
  return follower
}

beforeAll(async () => {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  cardea = await startCardea({ config: { port, issuer, audiences: [issuer] } })
  proxy = await startTcpProxy(issuer, () => ({ onServerBytes: () => fate }))
  client = await newServiceClient(cardea)
  operator = await cardea.operatorToken()
})
afterAll(async () => {
  for (const one of processes) await one.stop()
  await proxy?.stop()
  await cardea?.stop()
})

const logIn = () => logInAt(cardea)

const revoke = (body: Record<string, unknown>) => revokeAt(cardea.client, operator, body)

type Verdict = { readonly revoked?: boolean; readonly unknown?: string }

/** Waits until the follower says so. */
const until = (follower: ForeignProcess, token: string, isIt: (verdict: Verdict) => boolean) =>
  vi.waitUntil(async () => isIt(await follower.ask({ token })))

const isGood = ({ revoked }: Verdict) => revoked === false
const isRevoked = ({ revoked }: Verdict) => revoked === true
const isUnknown = ({ unknown }: Verdict) => unknown !== undefined

describe("a service in Python that follows the feed with the guide's code", () => {
  let follower: ForeignProcess
  beforeAll(async () => {
    follower = await startFollower()
  })

  test.for(['jti', 'sid', 'sub', 'roles'] as const)(
    'refuses a token after its revocation by %s, and no other',
    async (kind) => {
      const doomed = await logIn()
      const other = await logIn()
      await until(follower, doomed.token, isGood)
      if (kind === 'roles') {
        const body = { roles: ['editor'] }
        await cardea.client.send('PATCH', `/admin/accounts/${doomed.sub}`, {
          token: operator,
          body,
        })
      } else {
        await revoke({ [kind]: doomed[kind] })
      }
      await until(follower, doomed.token, isRevoked)
      expect(await follower.ask({ token: other.token })).toEqual({ revoked: false })
      const { accessToken } = await cardea.client.logIn(doomed.account)
      expect(await follower.ask({ token: accessToken })).toEqual({ revoked: false })
    },
  )

  test('accepts nothing any more when the feed is silent, and knows what it missed when it speaks again', async () => {
    const doomed = await logIn()
    await until(follower, doomed.token, isGood)
    // Connections stay open, and no byte comes.
    fate = 'lose'
    await revoke({ sid: doomed.sid })
    await until(follower, doomed.token, isUnknown)
    fate = 'pass'
    const verdicts: Verdict[] = []
    await vi.waitUntil(async () => {
      const verdict: Verdict = await follower.ask({ token: doomed.token })
      verdicts.push(verdict)
      return verdict.revoked
    })
    expect(verdicts.filter(isGood)).toEqual([])
  })

  test('refuses what was made with a signing key that was withdrawn, while it still has the key', async () => {
    const doomed = await logIn()
    await until(follower, doomed.token, isGood)
    await revoke({ kid: doomed.kid })
    operator = await cardea.operatorToken()
    await until(follower, doomed.token, isRevoked)
    await until(follower, (await logIn()).token, isGood)
  })

  test('refuses everything from before everything was revoked, from its first snapshot on', async () => {
    const before = await logIn()
    await revoke({ everyone: true })
    operator = await cardea.operatorToken()
    const after = await logIn()
    const newcomer = await startFollower()
    await until(newcomer, before.token, isRevoked)
    expect(await newcomer.ask({ token: after.token })).toEqual({ revoked: false })
    await until(follower, before.token, isRevoked)
  })

  test('accepts nothing with a wrong secret, and can say why', async () => {
    const stranger = await startFollower(client.clientSecret.replace(/.{8}$/, 'AAAAAAAA'))
    const { token } = await logIn()
    await until(stranger, token, ({ unknown = '' }) => unknown.includes('401'))
  })
})

describe("the guide's example of a check with the copy", () => {
  const startExample = async (secret: string): Promise<ForeignProcess> => {
    const set = (name: string, value: string) =>
      `os.environ["${name}"] = ${JSON.stringify(value)}\n`
    const example = await runGuide('python', 'check-token.py', [
      guideVerifier(cardea.config.issuer),
      { page: guidePage, name: 'cardea_replica.py' },
      {
        page: guidePage,
        name: 'cardea_check.py',
        before: `import os\n${set('CARDEA_CLIENT_ID', client.clientId)}${set('CARDEA_CLIENT_SECRET', secret)}`,
      },
    ])
    processes.push(example)
    return example
  }

  test('gives the claims of a good token, 401 for a bad and for a revoked one, and 503 when it cannot know', async () => {
    const example = await startExample(client.clientSecret)
    const { token, sid } = await logIn()
    await vi.waitUntil(async () => (await example.ask({ token })).status === 200)
    expect(await example.ask({ token })).toMatchObject({ status: 200, claims: { sid } })
    expect(await example.ask({ token: 'a.b.c' })).toEqual({ status: 401, claims: null })
    await revoke({ sid })
    await vi.waitUntil(async () => (await example.ask({ token })).status === 401)
    const stranger = await startExample('a secret of nobody')
    const other = await logIn()
    expect(await stranger.ask({ token: other.token })).toEqual({ status: 503, claims: null })
  })
})
