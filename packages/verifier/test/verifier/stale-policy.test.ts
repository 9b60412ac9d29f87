import { describe, expect, test } from 'vitest'
import type { StalePolicy } from '../../src/index.ts'
import { newId } from '../tokens/signed-tokens.ts'
import { client, entryOf, startToyCardea, startVerifier, tokenOf, verdict } from './toy-cardea.ts'

/** A verifier that was fresh, knows one revoked token, and has lost its issuer since. */
const loseTheFeed = async (options: Parameters<typeof startVerifier>[1] = {}) => {
  const cardea = await startToyCardea()
  const revoked = tokenOf(cardea)
  cardea.toy.feed.log.push(entryOf('jti', revoked.claims['jti']))
  const { verifier, clock } = startVerifier(cardea, options)
  await verifier.ready()
  cardea.toy.mode = 'down'
  cardea.cutAll()
  clock.jump(5001)
  expect(verifier.state()).toBe('STALE')
  return { cardea, verifier, clock, revoked }
}

const everyPolicy: readonly StalePolicy[] = [
  'deny',
  'introspect',
  { bounded: 60 },
  'accept-until-exp',
]

describe('R74: while the verifier is STALE', () => {
  test('the default is 503 with a time to come back, after five seconds, however the connection behaves', async () => {
    const cardea = await startToyCardea()
    const { verifier, clock } = startVerifier(cardea)
    clock.hold()
    await verifier.ready()
    cardea.toy.mode = 'frozen'
    const { token } = tokenOf(cardea)
    clock.jump(3500)
    expect(await verdict(verifier, token)).toBe('accepted')
    clock.jump(1500)
    expect(verifier.state()).toBe('STALE')
    const unknown = { code: 'revocation_state_unknown', status: 503, retryAfterSeconds: 2 }
    await expect(verifier.verify(token)).rejects.toMatchObject(unknown)
  })

  test('what is known to be revoked, malformed or expired is refused with 401 under every policy', async () => {
    const { cardea, verifier, revoked } = await loseTheFeed()
    const iat = Math.floor(Date.now() / 1000) - 1000
    const expired = tokenOf(cardea, { iat, exp: iat + 900 })
    for (const policy of everyPolicy) {
      expect(await verdict(verifier, revoked.token, { policy })).toBe('token_revoked')
      expect(await verdict(verifier, 'not a token', { policy })).toBe('token_invalid')
      expect(await verdict(verifier, expired.token, { policy })).toBe('token_expired')
    }
    expect(cardea.toy.introspected).toEqual([])
  })

  test('accept-until-exp accepts, and roles are still asked for', async () => {
    const { cardea, verifier } = await loseTheFeed({ policy: 'accept-until-exp' })
    const { token } = tokenOf(cardea)
    expect(await verdict(verifier, token)).toBe('accepted')
    expect(await verdict(verifier, token, { policy: 'deny' })).toBe('revocation_state_unknown')
    expect(await verdict(verifier, token, { roles: ['operator'] })).toBe('insufficient_role')
  })

  test('bounded accepts for its time, then denies', async () => {
    const { cardea, verifier, clock } = await loseTheFeed()
    const { token } = tokenOf(cardea)
    const policy = { bounded: 60 }
    expect(await verdict(verifier, token, { policy })).toBe('accepted')
    clock.jump(50_000)
    expect(await verdict(verifier, token, { policy })).toBe('accepted')
    expect(await verdict(verifier, token, { policy: { bounded: 30 } })).toBe(
      'revocation_state_unknown',
    )
    clock.jump(10_000)
    expect(await verdict(verifier, token, { policy })).toBe('revocation_state_unknown')
  })
})

describe('the policy introspect', () => {
  const json = (body: string, status = 200) => ({
    status,
    headers: { 'content-type': 'application/json' },
    body,
  })

  test('asks the issuer about each token, as a service client, and refuses what it calls not active', async () => {
    const { cardea, verifier } = await loseTheFeed({ policy: 'introspect' })
    const { token, claims } = tokenOf(cardea)
    cardea.toy.introspection = json(JSON.stringify({ active: true, jti: claims['jti'] }))
    expect(await verdict(verifier, token)).toBe('accepted')
    cardea.toy.introspection = json('{"active":false}')
    expect(await verdict(verifier, tokenOf(cardea).token)).toBe('token_revoked')
    expect(
      cardea.toy.introspected.map((body) => Object.fromEntries(new URLSearchParams(body))),
    ).toMatchObject([{ token, token_type_hint: 'access_token' }, {}])
    const [question] = cardea.requests.filter(({ url }) => url === '/oauth/introspect')
    expect(question?.method).toBe('POST')
    expect(question?.headers['content-type']).toBe('application/x-www-form-urlencoded')
    expect(question?.headers.authorization).toMatch(/^Basic /)
  })

  test('asks once for all who bring the same token at the same time, and again later', async () => {
    const { cardea, verifier } = await loseTheFeed({ policy: 'introspect' })
    const { token } = tokenOf(cardea)
    // Its signature is known from here on: otherwise the last of the twenty may come when the first has its answer.
    expect(await verdict(verifier, token, { policy: 'accept-until-exp' })).toBe('accepted')
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => verdict(verifier, token)))
    expect(new Set(verdicts)).toEqual(new Set(['accepted']))
    expect(cardea.toy.introspected.length).toBe(1)
    await verdict(verifier, token)
    expect(cardea.toy.introspected.length).toBe(2)
  })

  test('takes anything but a clear verdict for no verdict: 503', async () => {
    const { cardea, verifier } = await loseTheFeed({ policy: 'introspect' })
    const answers = [
      json('{}'),
      json('{"active":"true"}'),
      json('{"active":1}'),
      json('[]'),
      json('null'),
      json('not json'),
      json(`{"active":true,"jti":"${newId()}"}`),
      json('{"active":true}', 201),
      json('{"active":true}', 500),
      json('{"error":"invalid_client"}', 401),
      { body: '{"active":true}', headers: { 'content-type': 'text/html' } },
      { status: 302, headers: { location: '/elsewhere' } },
      json(`{"active":true,"note":"${'x'.repeat(70_000)}"}`),
    ]
    const { token } = tokenOf(cardea)
    for (const answer of answers) {
      cardea.toy.introspection = answer
      const error: unknown = await verifier.verify(token).catch((reason: unknown) => reason)
      expect(error, answer.body).toMatchObject({ code: 'revocation_state_unknown', status: 503 })
      expect(JSON.stringify(error)).not.toContain(client.secret)
    }
  })

  test('gives up after its time, and lets no more than 64 questions wait', async () => {
    const { cardea, verifier } = await loseTheFeed({
      policy: 'introspect',
      introspectionTimeoutMs: 1000,
    })
    cardea.toy.introspection = 'frozen'
    const verdicts = await Promise.all(
      Array.from({ length: 80 }, () => verdict(verifier, tokenOf(cardea).token)),
    )
    expect(new Set(verdicts)).toEqual(new Set(['revocation_state_unknown']))
    expect(cardea.toy.introspected.length).toBeLessThanOrEqual(64)
    cardea.toy.introspection = json('{"active":true}')
    expect(await verdict(verifier, tokenOf(cardea).token)).toBe('accepted')
  })
})
