import { expect, test } from 'vitest'
import { sendRaw, startToyServer } from './toy-server.ts'

const statusOf = async (
  line: string,
  headers: readonly string[],
  options: Parameters<typeof startToyServer>[0],
) => {
  const { port, handled } = await startToyServer({ production: true, ...options })
  const { status, headers: answered, body } = await sendRaw(port, line, ['Host: a', ...headers])
  return { status, location: answered.get('location'), body, handled: handled() }
}

const behindProxy = { trustedProxies: ['127.0.0.1/32'] }
const https = 'X-Forwarded-Proto: https'

test('R124: in production a request without TLS is refused, not redirected, and runs no handler', async () => {
  const refused = { status: 403, location: undefined, handled: 0 }
  const answer = await statusOf('GET /things/1', [], behindProxy)
  expect(answer).toMatchObject(refused)
  expect(JSON.parse(answer.body)).toMatchObject({ code: 'https_required' })
  expect(await statusOf('GET /things/1', ['X-Forwarded-Proto: http'], behindProxy)).toMatchObject(
    refused,
  )
  expect(
    await statusOf('GET /things/1', [https, 'X-Forwarded-Proto: http'], behindProxy),
  ).toMatchObject(refused)
})

test('R124: only a trusted proxy can say that TLS ended there', async () => {
  expect(await statusOf('GET /things/1', [https], { trustedProxies: [] })).toMatchObject({
    status: 403,
  })
  expect(await statusOf('GET /things/1', [https], behindProxy)).toMatchObject({ status: 200 })
})

test.each(['https', 'wss', 'HTTPS', 'Wss', 'http, wss'])(
  'R124: X-Forwarded-Proto %s of a trusted proxy says that TLS ended there',
  async (protocol) => {
    const header = `X-Forwarded-Proto: ${protocol}`
    expect(await statusOf('GET /things/1', [header], behindProxy)).toMatchObject({ status: 200 })
    expect(await statusOf('GET /things/1', [header], { trustedProxies: [] })).toMatchObject({
      status: 403,
    })
  },
)

test.each(['ws', 'http', 'httpss', 'wss, http', 'https://a', ''])(
  'R124: X-Forwarded-Proto %j says no such thing',
  async (protocol) => {
    const header = `X-Forwarded-Proto: ${protocol}`
    expect(await statusOf('GET /things/1', [header], behindProxy)).toMatchObject({ status: 403 })
  },
)

test('health checks come from inside and need no TLS', async () => {
  expect(await statusOf('GET /health/live', [], { trustedProxies: [] })).toMatchObject({
    status: 200,
  })
})
