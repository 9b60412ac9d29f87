import { expect, test } from 'vitest'
import { storeErrors } from '../../src/infra/postgres/store-failure.ts'
import { httpClient } from '../support/service/client.ts'
import { startToyServer } from './toy-server.ts'

const rightMs = Date.UTC(2026, 0, 2, 3, 4, 5)

const times = { nowMs: () => rightMs, aheadMs: () => 0, settle: () => undefined }

test('while the time is in doubt a request waits until it is known, and then goes on', async () => {
  let settled = (): void => undefined
  const settling = new Promise<void>((resolve) => {
    settled = resolve
  })
  const { url, handled } = await startToyServer({ time: { ...times, settle: () => settling } })
  const answer = httpClient(url).get('/things/1')
  // A document that does not depend on the time is sent meanwhile.
  expect((await httpClient(url).get('/keys')).status).toBe(200)
  expect(handled()).toBe(1)
  settled()
  expect((await answer).status).toBe(200)
})

test('a time that cannot be known is 503 with Retry-After, before anybody is authenticated or anything handled', async () => {
  const settle = () =>
    Promise.reject(storeErrors.error('store_unavailable', { retryAfterSeconds: 1 }))
  const { url, handled } = await startToyServer({ time: { ...times, settle } })
  for (const path of ['/things/1', '/me', '/admin/me', '/feed']) {
    const { status, body, headers } = await httpClient(url).get(path)
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'store_unavailable', '1'])
  }
  expect(handled()).toBe(0)
})

test.each([-40_000, 9_000])(
  'with a wall clock that is off by %i ms Date tells the time that decides, in errors too',
  async (aheadMs) => {
    const { url } = await startToyServer({ time: { ...times, aheadMs: () => aheadMs } })
    for (const path of ['/things/1', '/away', '/none']) {
      const { headers } = await httpClient(url).get(path)
      expect(headers.get('date')).toBe('Fri, 02 Jan 2026 03:04:05 GMT')
    }
  },
)
