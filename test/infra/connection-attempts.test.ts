import { type ChildProcess, spawn } from 'node:child_process'
import dns from 'node:dns'
import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import {
  type Database,
  type DatabaseOptions,
  openDatabase,
} from '../../src/infra/postgres/database.ts'
import { connectWithinMs } from '../../src/infra/postgres/primary-client.ts'
import {
  type FreshDatabase,
  freshDatabase,
  startPostgres,
} from '../support/servers/postgres-server.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'

/** What a request waits for a connection by default. */
const waitMs = 300

let database: FreshDatabase
beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

const places = 4

const optionsFor = (url: string): DatabaseOptions => ({
  url,
  poolSize: places,
  connectTimeoutMs: waitMs,
  statementTimeoutMs: 5_000,
  preparedStatements: true,
  onIdleError: () => undefined,
})

const open = (url: string): Database => {
  const opened = openDatabase(optionsFor(url))
  onTestFinished(opened.close)
  return opened
}

const isUp = async (opened: Database): Promise<boolean> =>
  opened.ping().then(
    () => true,
    () => false,
  )

/** As clients that obey Retry-After, only faster. */
const whenUp = async (opened: Database): Promise<void> => {
  await vi.waitUntil(() => isUp(opened), { interval: 20 })
}

/** A way to Postgres on which connections are counted, from the last `reset` on. */
const countingProxy = async (url: string) => {
  let made = 0
  let sinceMs = performance.now()
  const proxy = await startTcpProxy(url, () => {
    made += 1
    return {}
  })
  onTestFinished(proxy.stop)
  return {
    proxy,
    url: proxy.through(url),
    reset: () => {
      made = 0
      sinceMs = performance.now()
    },
    /** Each place of the pool makes one attempt, and another one only when that has failed after its full time. */
    expectFewAttempts: () => {
      const rounds = 1 + Math.floor((performance.now() - sinceMs) / connectWithinMs)
      expect(made).toBeLessThanOrEqual(places * rounds)
    },
  }
}

test('R104: a handshake that takes longer than a request waits succeeds while requests come and go, and serves the next one', async () => {
  const { proxy, url, expectFewAttempts } = await countingProxy(database.appUrl)
  proxy.slowDown({ toClientMs: 2 * waitMs })
  const opened = open(url)
  await expect(opened.ping()).rejects.toMatchObject({ code: 'store_unavailable' })
  await whenUp(opened)
  expectFewAttempts()
})

test('R104: of a flood while Postgres is frozen everybody is told so, attempts to connect are not begun again, and they serve when it thaws', async () => {
  const own = await startPostgres()
  onTestFinished(own.stop)
  const { proxy, url, reset, expectFewAttempts } = await countingProxy(own.appUrl)
  const opened = open(url)
  await whenUp(opened)
  await own.freeze()
  // Nobody is connected any more; whoever asks has to connect.
  proxy.cutAll()
  reset()
  for (let round = 0; round < 4; round += 1) {
    const flood = await Promise.all(Array.from({ length: 200 }, () => isUp(opened)))
    expect(flood).not.toContain(true)
  }
  await own.thaw()
  await whenUp(opened)
  expectFewAttempts()
  const everybody = await Promise.all(Array.from({ length: 200 }, () => isUp(opened)))
  expect(everybody).not.toContain(false)
})

test('R104: an attempt that hangs keeps nobody from a connection that is idle', async () => {
  const { proxy, url } = await countingProxy(database.appUrl)
  const opened = open(url)
  await whenUp(opened)
  const silent = createServer()
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  onTestFinished(async () => void silent.close())
  proxy.pointTo(`postgres://127.0.0.1:${(silent.address() as AddressInfo).port}/`)

  const signals = new EventEmitter()
  const begun = once(signals, 'begun')
  const holding = opened.transaction(async () => {
    signals.emit('begun')
    await once(signals, 'end')
  })
  await begun
  // It begins an attempt, which hangs, and is served by the connection that comes back.
  const waiting = opened.ping()
  signals.emit('end')
  await Promise.all([holding, waiting])
  await opened.ping()
})

test('closing does not wait for an attempt to connect', async () => {
  const own = await startPostgres()
  onTestFinished(own.stop)
  await own.freeze()
  const opened = openDatabase(optionsFor(own.appUrl))
  await expect(opened.ping()).rejects.toMatchObject({ code: 'store_unavailable' })
  const outcome = await Promise.race([opened.close(), pause(connectWithinMs - 1_000, 'late')])
  expect(outcome).toBeUndefined()
  await own.thaw()
})

/** Listens and never accepts: stopped, with a full queue, it drops every packet that asks for a connection. */
const deaf = `require('node:net').createServer().listen({ port: Number(process.argv[1]), host: '127.0.0.2', backlog: 1 }, () => console.log('listening'))`

const blackHole = async (port: string): Promise<void> => {
  const child: ChildProcess = spawn(process.execPath, ['-e', deaf, port], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const sockets: Socket[] = []
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await once(child.stdout!, 'data')
  child.kill('SIGSTOP')
  for (let filler = 0; filler < 4; filler += 1) {
    const socket = connect(Number(port), '127.0.0.2')
    socket.on('error', () => undefined)
    sockets.push(socket)
  }
  await vi.waitUntil(() => sockets.some(({ connecting }) => !connecting))
}

test('R104: a name whose first address drops every packet is reached at its second one', async () => {
  const { proxy, url } = await countingProxy(database.appUrl)
  // The first address costs a part of the wait, and the handshake the rest of it.
  proxy.slowDown({ toClientMs: waitMs / 3 })
  const { hostname, port } = new URL(url)
  await blackHole(port)
  const addresses = [
    { address: '127.0.0.2', family: 4 },
    { address: hostname, family: 4 },
  ]
  const lookup = vi
    .spyOn(dns, 'lookup')
    .mockImplementation(((
      _name: string,
      _options: unknown,
      done: (error: null, found: typeof addresses) => void,
    ) => done(null, addresses)) as unknown as typeof dns.lookup)
  onTestFinished(() => lookup.mockRestore())
  const opened = open(url.replace(hostname, 'two-addresses.test'))
  await whenUp(opened)
  expect(lookup).toHaveBeenCalled()
})
