import { expect, test, vi } from 'vitest'
import { openLog } from '../../src/http/log.ts'
import { storeFailure } from '../../src/infra/postgres/store-failure.ts'
import { AppError } from '../../src/lib/app-error.ts'

const away = () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), {
    code: 'ECONNREFUSED',
  })
  const error = storeFailure(cause)
  if (!(error instanceof AppError)) throw new TypeError('not taken for a store that is away')
  return error
}

test('of an outage of Postgres the first failure is logged with its cause, then a count now and then, and the end; anything else as ever', async () => {
  const lines: string[] = []
  let nowMs = 0
  const log = openLog({
    logLevel: 'info',
    logStream: { write: (line) => void lines.push(line) },
    clock: { monotonicMs: () => nowMs },
    outageTimes: { remindEveryMs: 60, quietMs: 20 },
  })
  const written = () => lines.map((line) => JSON.parse(line))
  log.error({ code: 'store_unavailable', status: 503, err: away().cause }, 'request failed')
  log.warn({ err: away() }, 'dropping what has ended failed')
  log.warn({ err: new Error('a read failed', { cause: away() }) }, 'the log could not be read')
  log.warn({ err: new Error('another one') }, 'a session was not copied')
  nowMs = 60
  log.error({ code: 'store_unavailable', status: 503, err: away().cause }, 'request failed')
  await vi.waitFor(() => expect(lines).toHaveLength(3))
  nowMs = 90
  await vi.waitFor(() => expect(lines).toHaveLength(4))
  log.warn({ err: away() }, 'dropping what has ended failed')
  expect(written()).toMatchObject([
    { level: 50, msg: 'request failed', outage: 'begins', err: { code: 'ECONNREFUSED' } },
    { level: 40, msg: 'a session was not copied' },
    { level: 50, msg: 'postgres still does not answer', outage: 'goes on', failures: 4 },
    { level: 40, msg: 'postgres answers again', outage: 'is over', failures: 4 },
    { level: 40, msg: 'dropping what has ended failed', outage: 'begins' },
  ])
})
