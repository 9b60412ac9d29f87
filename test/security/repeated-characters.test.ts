import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { afterAll, expect, test } from 'vitest'
import {
  costlyRequests,
  fragments,
  run,
  type Sent,
  senderTo,
} from '../support/run/cpu-of-requests.ts'
import { startCardea } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { newServiceClient } from '../support/service/service-client.ts'

/** Every route that the app registers, so that a new one is covered too. */

const routes: RouteOptions[] = []
const channel = 'fastify.initialization'
const listen = (message: unknown) => {
  const { fastify } = message as { readonly fastify: FastifyInstance }
  fastify.addHook('onRoute', (route) => void routes.push(route))
}

subscribe(channel, listen)
const cardea = await startCardea({
  redisUrl: null,
  // So that the headers of proxies are read, too.
  config: { trustedProxies: ['127.0.0.0/8', '::1/128'], allowedOrigins: ['https://a.example'] },
})
unsubscribe(channel, listen)
const sender = senderTo(cardea.client.address)
afterAll(async () => {
  sender.close()
  await cardea.stop()
})

type Headers = Readonly<Record<string, string>>

/** What opens a route, by its access. Made anew for each route, since some of them end the session that opened them. */
const credentialOf: Readonly<Record<string, () => Promise<Headers>>> = {
  public: async () => ({}),
  session: async () => credentialOf['operator']?.() ?? {},
  operator: async () => {
    const roles = ['operator']
    const { id } = await cardea.createAccount(roles)
    const { refreshToken } = await quickSession(cardea, id, { roles })
    const { body } = await cardea.client.refresh(refreshToken)
    return { authorization: `Bearer ${body.access_token}` }
  },
  cookie: async () => {
    const session = await cardea.client.logInForCookie(await cardea.createAccount())
    return { cookie: `__Host-cardea-session=${session}` }
  },
  service: async () => ({ authorization: (await newServiceClient(cardea)).authorization }),
}

const headerLength = 15_000
const bodyLength = 8_000
const urlLength = 2_000

/** Headers and how each begins. Those of one group are sent together and share the 16 KiB that a request may have. */
const headerPlaces: readonly (readonly (readonly [name: string, start: string])[])[] = [
  [['cookie', 'x']],
  [['cookie', '__Host-cardea-session=']],
  [['cookie', '__Host-cardea-refresh=x; __Host-cardea-refresh']],
  [['authorization', 'Bearer ']],
  [['authorization', 'Basic ']],
  [['content-type', 'application/json']],
  [['content-type', 'application/x-www-form-urlencoded;']],
  [['origin', 'https://']],
  [['host', 'x']],
  [
    ['accept', 'text/html,text/plain;q='],
    ['if-none-match', 'W/"'],
  ],
  [
    ['if-match', '"'],
    ['user-agent', 'x'],
  ],
  [
    ['x-forwarded-for', '127.0.0.1,'],
    ['x-forwarded-uri', '/'],
  ],
  [
    ['x-forwarded-host', 'x'],
    ['x-forwarded-proto', 'https'],
  ],
  [
    ['sec-fetch-site', 'none'],
    ['access-control-request-method', 'POST'],
  ],
  [
    ['forwarded', 'for='],
    ['x-unknown', 'x'],
  ],
]

type Schema = {
  readonly type?: string
  readonly maxLength?: number
  readonly properties?: Readonly<Record<string, Schema>>
}

/** Every text of the body, as long as its schema allows: longer ones would not reach the handler. */
const membersOf = (schema: Schema, fragment: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(schema.properties ?? {})
      .filter(([, { type }]) => type === 'string')
      .map(([name, { maxLength = bodyLength }]) => [
        name,
        run(fragment, Math.min(maxLength, bodyLength / 4)),
      ]),
  )

const bodiesOf = (route: RouteOptions, fragment: string): Record<string, string> => {
  const members = membersOf((route.schema?.body ?? {}) as Schema, fragment)
  if (route.config?.protocol !== undefined) {
    return {
      form: run(fragment, bodyLength),
      'form value': `token=${run(fragment, bodyLength - 10)}`,
      'form members': String(new URLSearchParams(members)).slice(0, bodyLength),
      'long form': run(fragment, headerLength),
    }
  }
  return {
    body: run(fragment, bodyLength),
    'body value': JSON.stringify({ a: run(fragment, bodyLength / 2 - 10) }),
    'body members': JSON.stringify(members).slice(0, bodyLength),
    'long body': run(fragment, headerLength),
  }
}

const isUrlCharacter = (text: string): boolean => /^[\x21-\x7e]*$/.test(text)

const attacksOf = (route: RouteOptions, plain: Sent): Map<string, Sent> => {
  const attacks = new Map<string, Sent>()
  for (const fragment of fragments) {
    const add = (place: string, change: Partial<Sent>) =>
      attacks.set(`${plain.method} ${route.url}: ${place} of ${JSON.stringify(fragment)}`, {
        ...plain,
        ...change,
      })
    for (const places of headerPlaces) {
      const values = places.map(([name, start]) => [
        name,
        `${start}${run(fragment, headerLength / places.length)}`,
      ])
      add(places.map(([name, start]) => `${name} ${start}`).join(', '), {
        headers: { ...plain.headers, ...Object.fromEntries(values) },
      })
    }
    if (isUrlCharacter(fragment)) {
      for (const length of [urlLength - route.url.length, headerLength]) {
        add(`query (${length})`, { path: `${plain.path}?${run(fragment, length)}` })
        add(`path (${length})`, { path: pathOf(route, run(fragment, length)) })
      }
    }
    if (plain.body === undefined) continue
    for (const [place, body] of Object.entries(bodiesOf(route, fragment))) add(place, { body })
  }
  return attacks
}

/** The path with its parameter, or else one more segment, of `text`. */
const pathOf = ({ url }: RouteOptions, text: string): string =>
  url.includes(':') ? url.replace(/:\w+/, () => text) : `${url}/${text}`

const plainOf = async (route: RouteOptions, method: string): Promise<Sent> => {
  const credential = await (credentialOf[route.config?.access ?? ''] ?? credentialOf['public'])?.()
  const isForm = route.config?.protocol !== undefined
  const type = isForm ? 'application/x-www-form-urlencoded' : 'application/json'
  const path = route.url.replace(/:\w+/, 'AAAAAAAAAAAAAAAAAAAAAA')
  // As browsers ask for a page.
  const accept = 'text/html'
  if (method === 'GET') return { method, path, headers: { ...credential, accept } }
  return {
    ...{ method, path },
    headers: { ...credential, 'content-type': type },
    body: isForm ? 'token=a' : '{"a":1}',
  }
}

test('R117: no header, address or body of repeated characters costs much more CPU than a plain request', async () => {
  const found = routes.flatMap((route) =>
    [route.method]
      .flat()
      .filter((method) => method !== 'HEAD')
      .map((method) => ({ route, method })),
  )
  expect(found.length).toBeGreaterThan(30)
  for (const { route, method } of found) {
    const plain = await plainOf(route, method)
    expect(await costlyRequests(sender, plain, attacksOf(route, plain))).toEqual([])
  }
})
