import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { json } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { newSealedKey, seal } from '../support/sealed.ts'
import { newId } from '../tokens/signed-tokens.ts'
import { type StartServer, servers } from './guarded-servers.ts'
import { startGuarded } from './start-guarded.ts'

const key = await newSealedKey()
const ownOrigin = 'https://app.example.com'
const webview = 'capacitor://localhost'

type Fields = Readonly<Record<string, string | string[]>>

/** With `node:http`, which sends each of several fields of a name for itself. */
const send = async (url: string, fields: Fields = {}, method = 'GET') => {
  const request = httpRequest(url, { method, agent: false })
  for (const [name, value] of Object.entries(fields)) request.setHeader(name, value)
  request.end()
  const [response] = await once(request, 'response')
  const body: Record<string, unknown> = Object(await json(response))
  return {
    status: response.statusCode,
    code: body['code'],
    sub: body['sub'],
    challenge: response.headers['www-authenticate'],
  }
}

const start = (startServer: StartServer) =>
  startGuarded(startServer, {
    sealedKeys: [key.text],
    guards: { credential: 'sealed-cookie', allowedOrigins: [ownOrigin, webview] },
  })

const cookieOf = (value: string) => `__Host-cardea-sealed=${value}`

const refused = (status: number, code: string) => ({
  status,
  code,
  sub: undefined,
  challenge: undefined,
})

describe.each(Object.entries(servers))('a sealed cookie behind %s', (_name, startServer) => {
  test('lets its owner in, whatever other cookies there are', async () => {
    const { issuer, url } = await start(startServer)
    const sub = newId()
    const sealed = await seal(await issuer.token({ sub }), key)
    const cookies = ['', 'a=b; ', `x${cookieOf('A')}; `, `${cookieOf('A').toLowerCase()}; `]
    for (const before of cookies) {
      const answer = await send(`${url}/orders`, { cookie: `${before}${cookieOf(sealed)}; c=d` })
      expect({ before, ...answer }).toMatchObject({ before, status: 200, sub })
    }
  })

  test('R100: is missed, or refused, with 401 and no challenge of a scheme that would not help', async () => {
    const { issuer, url } = await start(startServer)
    const token = await issuer.token()
    expect(await send(`${url}/orders`)).toEqual(refused(401, 'token_missing'))
    const bearer = { authorization: `Bearer ${token}` }
    expect(await send(`${url}/orders`, bearer)).toEqual(refused(401, 'token_missing'))
    const stranger = await newSealedKey()
    const bad: Record<string, string> = {
      'the bare token': token,
      'another key': await seal(token, stranger),
      'another audience inside': await seal(await issuer.token({ aud: 'https://other' }), key),
      'an altered end': `${(await seal(token, key)).slice(0, -4)}AAAA`,
      nothing: '',
    }
    for (const [what, value] of Object.entries(bad)) {
      expect({ what, ...(await send(`${url}/orders`, { cookie: cookieOf(value) })) }).toEqual({
        what,
        ...refused(401, 'token_invalid'),
      })
    }
  })

  test('R57: is refused when it comes twice, in one field or in two, even when both are good', async () => {
    const { issuer, url } = await start(startServer)
    const one = cookieOf(await seal(await issuer.token(), key))
    const other = cookieOf(await seal(await issuer.token(), key))
    for (const cookie of [`${one}; ${other}`, [one, other], `${one};${one}`]) {
      expect(await send(`${url}/orders`, { cookie })).toEqual(refused(401, 'token_invalid'))
    }
  })

  test('is no bearer token', async () => {
    const { issuer, url } = await startGuarded(startServer)
    const sealed = await seal(await issuer.token(), key)
    const answer = await send(`${url}/orders`, { authorization: `Bearer ${sealed}` })
    expect(answer).toMatchObject({ status: 401, code: 'token_invalid' })
    const cookie = cookieOf(sealed)
    expect(await send(`${url}/orders`, { cookie })).toMatchObject({ code: 'token_missing' })
  })

  test('tells a role that is missing and a login that is too old by their codes alone', async () => {
    const { issuer, url } = await start(startServer)
    const token = await issuer.token({ auth_time: Math.floor(Date.now() / 1000) - 400 })
    const cookie = cookieOf(await seal(token, key))
    expect(await send(`${url}/admin`, { cookie })).toEqual(refused(403, 'insufficient_role'))
    expect(await send(`${url}/recent`, { cookie })).toEqual(refused(401, 'authentication_too_old'))
  })

  test('R62, R63: changes nothing for a page of another site, and everything for its own', async () => {
    const { issuer, url } = await start(startServer)
    const cookie = cookieOf(await seal(await issuer.token(), key))
    const foreign: Fields[] = [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'same-site', origin: 'https://evil.example.com' },
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'made-up' },
      { 'sec-fetch-site': '' },
      { origin: '' },
      { 'sec-fetch-site': ['same-origin', 'cross-site'] },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `${ownOrigin}.evil.example` },
      { origin: 'http://app.example.com' },
    ]
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      for (const fields of foreign) {
        const answer = await send(`${url}/orders`, { cookie, ...fields }, method)
        expect({ method, fields, ...answer }).toMatchObject(refused(403, 'forbidden_origin'))
      }
    }
    // On the list, but browsers say that it is another site.
    const listed: Fields[] = [
      { 'sec-fetch-site': 'cross-site', origin: ownOrigin },
      { 'sec-fetch-site': 'made-up', origin: ownOrigin },
      { 'sec-fetch-site': '', origin: ownOrigin },
      { 'sec-fetch-site': 'cross-site, same-origin', origin: ownOrigin },
      { 'sec-fetch-site': 'cross-site', origin: webview },
      { 'sec-fetch-site': 'same-site', origin: webview },
      { origin: webview },
    ]
    for (const fields of listed) {
      const answer = await send(`${url}/orders`, { cookie, ...fields }, 'POST')
      expect({ fields, ...answer }).toMatchObject(refused(403, 'cross_site_origin'))
    }
    const own: Fields[] = [
      {},
      { 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'same-origin', origin: 'null' },
      { 'sec-fetch-site': 'none' },
      { 'sec-fetch-site': 'same-site', origin: ownOrigin },
      { origin: ownOrigin },
    ]
    for (const fields of own) {
      const { status } = await send(`${url}/orders`, { cookie, ...fields }, 'POST')
      expect({ fields, status }).toEqual({ fields, status: 200 })
    }
    // Looking is harmless, and a link from elsewhere is to work.
    for (const fields of foreign) {
      expect((await send(`${url}/orders`, { cookie, ...fields })).status).toBe(200)
    }
  })
})
