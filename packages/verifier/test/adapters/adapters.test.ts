import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { json } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { newId } from '../tokens/signed-tokens.ts'
import { routes, servers } from './guarded-servers.ts'
import { startGuarded } from './start-guarded.ts'

type Sent = { readonly authorization?: string | string[]; readonly method?: string }

/** With `node:http` and not `fetch`, which joins repeated fields into one. */
const send = async (url: string, { authorization, method = 'GET' }: Sent = {}, body?: string) => {
  const request = httpRequest(url, { method, agent: false })
  if (authorization !== undefined) request.setHeader('authorization', authorization)
  if (body !== undefined) request.setHeader('content-type', 'application/x-www-form-urlencoded')
  request.end(body)
  const [response] = await once(request, 'response')
  const answer: unknown = await json(response)
  return {
    status: response.statusCode,
    challenge: response.headers['www-authenticate'],
    retryAfter: response.headers['retry-after'],
    type: response.headers['content-type'],
    cache: response.headers['cache-control'],
    body: answer,
  }
}

const refused = (status: number, code: string, challenge: string | undefined) => ({
  status,
  challenge,
  type: expect.stringMatching(/^application\/problem\+json(;|$)/),
  cache: 'no-store',
  body: expect.objectContaining({ type: `urn:cardea:problem:${code}`, status, code }),
})

const invalid = 'Bearer realm="api", error="invalid_token"'
const insufficient = 'Bearer realm="api", error="insufficient_scope"'
const bearer = (token: string): Sent => ({ authorization: `Bearer ${token}` })
const revocable = { notAfter: Math.floor(Date.now() / 1000) + 1000, minEpoch: undefined }

describe.each(Object.entries(servers))('behind %s', (_name, startServer) => {
  test('a good token reaches the handler with its claims, whatever the case of the scheme', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const sub = newId()
    const token = await issuer.token({
      sub,
      scope: 'orders:read orders:write x',
      roles: ['auditor', 'admin'],
    })
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      for (const path of Object.keys(routes)) {
        const { status, body } = await send(`${url}${path}`, {
          authorization: `${scheme} ${token}`,
        })
        expect({ path, status, body }).toMatchObject({
          path,
          status: 200,
          body: { sub, aud: issuer.audience },
        })
      }
    }
  })

  test('R100: a request without a token is challenged without an error code', async () => {
    const { url } = await startGuarded(startServer)
    for (const sent of [{}, { authorization: 'Basic YTpi' }, { authorization: 'Bearerish x' }]) {
      const answer = await send(`${url}/scoped`, sent)
      expect(answer).toMatchObject(refused(401, 'token_missing', 'Bearer realm="api"'))
    }
  })

  test('R30: R100: what is no good token for this audience is 401 invalid_token, also beside a good one', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const good = await issuer.token()
    const fields = [
      'Bearer',
      'Bearer  ',
      'Bearer made-up',
      'Bearer a b',
      `Bearer "${good}"`,
      `Bearer ${good}, Bearer ${good}`,
      `Bearer ${good}x`,
      `Bearer ${good.slice(0, -6)}AAAAAA`,
      `Bearer ${await issuer.token({ sid: null })}`,
      `Bearer ${await issuer.token({ aud: 'https://other.example.com' })}`,
      [`Bearer ${good}`, `Bearer ${good}`],
    ]
    for (const authorization of fields) {
      expect(await send(`${url}/orders`, { authorization }), String(authorization)).toMatchObject(
        refused(401, 'token_invalid', invalid),
      )
    }
  })

  test('an expired and a revoked token are told apart by their codes', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const past = Math.floor(Date.now() / 1000) - 3600
    const expired = await issuer.token({ iat: past, exp: past + 900 })
    expect(await send(`${url}/orders`, bearer(expired))).toMatchObject(
      refused(401, 'token_expired', invalid),
    )
    const sid = newId()
    const token = await issuer.token({ sid })
    expect((await send(`${url}/orders`, bearer(token))).status).toBe(200)
    issuer.revoke({ kind: 'sid', key: sid, ...revocable })
    await expect
      .poll(() => send(`${url}/orders`, bearer(token)))
      .toMatchObject(refused(401, 'token_revoked', invalid))
  })

  test('R100: a good token without the scope or the role is 403, and the scopes are named', async () => {
    const { issuer, url } = await startGuarded(startServer)
    for (const scope of ['', 'orders:read', 'orders:readorders:write']) {
      expect(await send(`${url}/scoped`, bearer(await issuer.token({ scope })))).toMatchObject(
        refused(403, 'insufficient_scope', `${insufficient}, scope="orders:read orders:write"`),
      )
    }
    const token = await issuer.token({ roles: ['admin'] })
    expect(await send(`${url}/admin`, bearer(token))).toMatchObject(
      refused(403, 'insufficient_role', insufficient),
    )
  })

  test('a login that is too long ago is 401 with the age that the route allows, and a new one passes', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const secondsAgo = (seconds: number) => Math.floor(Date.now() / 1000) - seconds
    const old = await issuer.token({ auth_time: secondsAgo(330) })
    const tooOld = `Bearer realm="api", error="insufficient_user_authentication", max_age="300"`
    expect(await send(`${url}/recent`, bearer(old))).toMatchObject(
      refused(401, 'authentication_too_old', tooOld),
    )
    expect((await send(`${url}/orders`, bearer(old))).status).toBe(200)
    const recent = await issuer.token({ auth_time: secondsAgo(270) })
    expect((await send(`${url}/recent`, bearer(recent))).status).toBe(200)
  })

  test('R35: a token in the query or in a form is not looked at', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const token = await issuer.token()
    const missing = refused(401, 'token_missing', 'Bearer realm="api"')
    expect(await send(`${url}/orders?access_token=${token}`)).toMatchObject(missing)
    expect(await send(`${url}/orders`, { method: 'POST' }, `access_token=${token}`)).toMatchObject(
      missing,
    )
  })

  test('R117: a token over 4 KiB is 401, though its signature is good', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const fits = await issuer.token({ roles: ['r'.repeat(2400)] })
    const tooLong = await issuer.token({ roles: ['r'.repeat(2800)] })
    expect([fits.length <= 4096, tooLong.length > 4096]).toEqual([true, true])
    expect((await send(`${url}/orders`, bearer(fits))).status).toBe(200)
    expect(await send(`${url}/orders`, bearer(tooLong))).toMatchObject(
      refused(401, 'token_invalid', invalid),
    )
  })

  test('R74: once freshness cannot be proven each route follows its own policy', async () => {
    const { issuer, url, verifier, skipSeconds } = await startGuarded(startServer)
    const [known, sid] = [newId(), newId()]
    const dead = await issuer.token({ sid: known })
    issuer.revoke({ kind: 'sid', key: known, ...revocable })
    await expect.poll(async () => (await send(`${url}/orders`, bearer(dead))).status).toBe(401)

    issuer.goAway()
    skipSeconds(30)
    expect(verifier.state()).toBe('STALE')
    const token = await issuer.token({ sid })
    const unknown = {
      ...refused(503, 'revocation_state_unknown', undefined),
      retryAfter: expect.stringMatching(/^[1-9]\d*$/),
    }
    expect(await send(`${url}/orders`, bearer(token))).toMatchObject(unknown)
    expect(await send(`${url}/introspect`, bearer(token))).toMatchObject(unknown)
    expect((await send(`${url}/bounded`, bearer(token))).status).toBe(200)
    expect((await send(`${url}/until-exp`, bearer(token))).status).toBe(200)
    skipSeconds(60)
    expect(await send(`${url}/bounded`, bearer(token))).toMatchObject(unknown)
    expect((await send(`${url}/until-exp`, bearer(token))).status).toBe(200)
    for (const path of Object.keys(routes)) {
      const { status } = await send(`${url}${path}`, bearer(dead))
      expect({ path, status }).toEqual({ path, status: 401 })
    }
  })

  test('R75: before the first snapshot nothing is accepted under any policy, and the server is not ready', async () => {
    const { issuer, url } = await startGuarded(startServer, { away: true })
    const token = await issuer.token({
      scope: 'orders:read orders:write',
      roles: ['admin', 'auditor'],
    })
    for (const path of Object.keys(routes)) {
      const answer = await send(`${url}${path}`, bearer(token))
      expect(answer, path).toMatchObject({
        ...refused(503, 'not_ready', undefined),
        retryAfter: expect.any(String),
      })
    }
    expect(await send(`${url}/ready`)).toMatchObject({
      status: 503,
      cache: 'no-store',
      body: { ready: false, state: 'LOADING' },
    })
  })

  test('R75: a server is ready once there is a snapshot, and says so when it is stale', async () => {
    const { issuer, url, skipSeconds } = await startGuarded(startServer)
    expect(await send(`${url}/ready`)).toMatchObject({
      status: 200,
      body: { ready: true, state: 'FRESH' },
    })
    issuer.goAway()
    skipSeconds(30)
    expect(await send(`${url}/ready`)).toMatchObject({
      status: 200,
      body: { ready: true, state: 'STALE' },
    })
  })

  test('R103: a check that throws denies, tells it once, and says nothing of it to the caller', async () => {
    let isBroken = true
    const { issuer, url, surprises } = await startGuarded(startServer, {
      replace: (verifier) => ({
        ...verifier,
        verify: (token, options) => {
          if (isBroken) throw new RangeError(`secret of ${token}`)
          return verifier.verify(token, options)
        },
      }),
    })
    const token = await issuer.token()
    const answer = await send(`${url}/until-exp`, bearer(token))
    expect(answer).toMatchObject(refused(500, 'internal_error', undefined))
    expect(JSON.stringify(answer)).not.toMatch(/secret|RangeError|at /)
    expect(surprises).toHaveLength(1)
    isBroken = false
    expect((await send(`${url}/until-exp`, bearer(token))).status).toBe(200)
  })
})
