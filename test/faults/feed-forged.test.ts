import type { RequestListener } from 'node:http'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { serveHttp } from '../support/servers/http-server.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { basicHeader } from '../support/service/service-client.ts'
import type { Opening } from '../support/verifier/verifier-child.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import { revokeAt } from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor } from '../support/verifier/verifier-tokens.ts'
import { type Forger, startForger } from './verifier-forgery.ts'

let cardea: Cardea
let opening: Opening
let jwks: string
/** Good but for its revocation: whoever believes that nothing was revoked accepts it. */
let doomed: string
let spared: string

beforeAll(async () => {
  cardea = await startCardea()
  opening = await openingFor(cardea)
  jwks = (await cardea.client.get('/.well-known/jwks.json')).text
  const [first, second] = await mintTokens(cardea, 2)
  if (!first || !second) throw new Error('no tokens')
  await revokeAt(cardea.client, await cardea.operatorToken(), { jti: first.jti })
  doomed = first.token
  spared = second.token
})
afterAll(() => cardea.stop())

const startWith = async (
  changes: Partial<Opening>,
  environment?: Readonly<Record<string, string>>,
): Promise<VerifierProcess> => {
  const verifier = await startVerifier({ ...opening, ...changes }, environment)
  onTestFinished(verifier.stop)
  return verifier
}

/** It has tried for a while, and does not believe what it heard. */
const expectNeverReady = async (verifier: VerifierProcess): Promise<void> => {
  const failures = async () => (await verifier.call('history')).errors
  await vi.waitUntil(async () => (await failures()) >= 5, { interval: 25 })
  for (const token of [doomed, spared]) expect(await verifier.verdict(token)).toBe('not_ready')
  const { states, snapshots } = await verifier.call('history')
  expect([await verifier.call('state'), states, snapshots]).toEqual(['LOADING', [], []])
}

describe('without the credential of a service client', () => {
  test('R80: the feed tells nothing to a forged one, however it is presented', async () => {
    const { id, secret } = opening.client
    const other = (await openingFor(cardea)).client
    const forged = [
      basicHeader(id, ''),
      basicHeader('', secret),
      basicHeader(id, `${secret}x`),
      basicHeader(id, secret.slice(0, -1)),
      basicHeader(id, other.secret),
      basicHeader(`${id}:${secret}`, secret),
      `Basic ${id}:${secret}`,
      `Bearer ${secret}`,
      `Bearer ${spared}`,
      'Basic',
    ]
    for (const path of ['/revocations/snapshot', '/revocations?cursor=0&wait=0']) {
      for (const authorization of forged) {
        const answer = await cardea.client.get(path, { headers: { authorization } })
        expect(answer.status, authorization).toBe(401)
        expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /)
        expect(Object.keys(answer.body)).not.toContain('entries')
      }
    }
    const query = new URLSearchParams({ client_id: id, client_secret: secret })
    const inTheAddress = await cardea.client.get(`/revocations/snapshot?${query}`)
    expect(inTheAddress.status).toBe(401)
    const good = { authorization: basicHeader(id, secret) }
    expect((await cardea.client.get('/revocations/snapshot', { headers: good })).status).toBe(200)
  })

  test('R75, R80: a verifier has the keys and no list, is never ready and accepts nothing', async () => {
    const client = { ...opening.client, secret: 'a-secret-that-nobody-ever-gave-out' }
    await expectNeverReady(await startWith({ client }))
  })
})

/** Over TLS the service shows who it is; in the clear whoever has its address is believed, so that is for one's own machine only. */
describe('a forger at the address of the service', () => {
  let forger: Forger

  beforeAll(async () => {
    forger = await startForger(jwks, 'tls')
  })
  afterAll(() => forger.stop())

  test('R80: whose certificate is not trusted is not believed, and is not even told the secret', async () => {
    await expectNeverReady(await startWith({ endpoint: forger.address }))
    expect(forger.heard).toEqual([])
  })

  test('would be believed without that: it is the certificate that decides', async () => {
    const trusting = { NODE_EXTRA_CA_CERTS: forger.certificatePath ?? '' }
    const verifier = await startWith({ endpoint: forger.address }, trusting)
    await verifier.call('ready')
    expect(await verifier.verdict(doomed)).toBe('accepted')
    const { id, secret } = opening.client
    expect(forger.heard).toContain(basicHeader(id, secret))
  })
})

/** Something on the way that is not the service and speaks for it, as hotels and broken proxies do. */
const onTheWay = async (listener: RequestListener): Promise<string> => {
  const { address, stop } = await serveHttp((request, response) => {
    // The keys come through: only the feed is meddled with.
    if (request.url === '/.well-known/jwks.json') {
      response.setHeader('content-type', 'application/json').end(jwks)
    } else listener(request, response)
  })
  onTestFinished(stop)
  return address
}

describe('something between a verifier and the service', () => {
  test('R80: that redirects to a forged feed is not followed, and the forger does not hear the secret', async () => {
    const forger = await startForger(jwks, 'clear')
    onTestFinished(forger.stop)
    const statuses = [301, 302, 303, 307, 308]
    let next = 0
    const endpoint = await onTheWay(({ url }, response) => {
      const status = statuses[next % statuses.length] ?? 302
      next += 1
      response.writeHead(status, { location: `${forger.address}${url}` }).end()
    })
    await expectNeverReady(await startWith({ endpoint }))
    expect(next).toBeGreaterThanOrEqual(statuses.length)
    expect(forger.heard).toEqual([])
  })

  const page = { feed_id: 'x', cursor: '1', entries: [] }
  const answers: Readonly<Record<string, readonly [type: string, body: string]>> = {
    'a page to log in at': ['text/html', '<html><form>Welcome to our network</form></html>'],
    'an empty answer': ['application/json', ''],
    'JSON that is no page': ['application/json', '{"status":"ok"}'],
    'a page without a cursor': ['application/json', JSON.stringify({ ...page, cursor: undefined })],
    'a page with an entry of no kind': [
      'application/json',
      JSON.stringify({ ...page, entries: [{ kind: 'all', key: '', not_after: 1 }] }),
    ],
    'a page of another type': ['text/plain', JSON.stringify(page)],
    'a binary page of one byte': ['application/vnd.cardea.revocations', 'C'],
  }

  test('R75: that answers with anything else than a page of the feed makes nobody ready', async () => {
    const sent = Object.values(answers)
    let next = 0
    const endpoint = await onTheWay((_request, response) => {
      const [type = '', body] = sent[next % sent.length] ?? []
      next += 1
      response.setHeader('content-type', type).end(body)
    })
    const verifier = await startWith({ endpoint })
    await vi.waitUntil(() => next > sent.length, { interval: 25 })
    await expectNeverReady(verifier)
  })
})
