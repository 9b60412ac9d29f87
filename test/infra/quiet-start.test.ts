import { afterAll, beforeAll, expect, inject, onTestFinished, test, vi } from 'vitest'
import { startInstance } from '../../src/app.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { freePort } from '../support/servers/free-port.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { httpClient } from '../support/service/client.ts'

let cardea: Cardea

beforeAll(async () => {
  cardea = await startCardea({ redisUrl: null })
})
afterAll(() => cardea.stop())

/** What one more process has logged when its start is over, which waits for `whenListening` at last. */
const logOfStart = async (
  redisUrl: string,
  whenListening: (address: string) => Promise<void>,
): Promise<string[]> => {
  const lines: string[] = []
  // As short as it is by default, so that silence is noticed.
  const config = { ...cardea.config, redisUrl, redisTimeoutMs: 100 }
  const instance = await startInstance(config, cardea.stores, {
    machine: { random: systemRandom },
    logStream: { write: (line) => void lines.push(JSON.parse(line).msg) },
    onListening: whenListening,
  })
  const logged = [...lines]
  await instance.stop()
  return logged
}

const redisBecomes = (state: string) => async (address: string) => {
  const client = httpClient(address)
  await vi.waitUntil(async () => (await client.get('/health/ready')).body.stores.redis === state)
}

test('a start in which Redis was silent for a moment, and replies again by its end, says nothing of it', async () => {
  let connections = 0
  const proxy = await startTcpProxy(inject('redisUrl'), () => {
    connections += 1
    const isSilent = connections === 1
    return { onServerBytes: () => (isSilent ? 'lose' : 'pass') }
  })
  onTestFinished(proxy.stop)
  const logged = await logOfStart(proxy.through(inject('redisUrl')), redisBecomes('ready'))
  expect(connections).toBeGreaterThan(1)
  expect(logged).toEqual(['listening'])
})

test('a start at whose end Redis is away says so once', async () => {
  const redisUrl = `redis://127.0.0.1:${await freePort()}`
  const logged = await logOfStart(redisUrl, redisBecomes('unreachable'))
  expect(logged).toEqual(['listening', 'redis is away'])
})
