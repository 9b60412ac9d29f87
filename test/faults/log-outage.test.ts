import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { ChildService, ServiceOutputs } from '../support/programs/child-service.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'

let home: ServiceOnDatabase
let client: Client

beforeAll(async () => {
  home = await serviceOnDatabase({
    CARDEA_SECRET: randomBytes(32).toString('base64url'),
    DATABASE_CONNECT_TIMEOUT_MS: '4000',
    // A refused request is then a line of more than a kilobyte.
    LOG_LEVEL: 'debug',
  })
  client = httpClient(home.address)
})
afterAll(() => home.remove())

const onEnd: (() => unknown)[] = []
afterEach(async () => {
  for (const end of onEnd.splice(0).reverse()) await end()
})

const open = (path: string, flags: number): number => {
  const fd = openSync(path, flags)
  onEnd.push(() => closeSync(fd))
  return fd
}

/** A pipe of the kernel (`stdio: 'pipe'` of Node is a pair of sockets), and its reading end, which nobody reads. */
const kernelPipe = async () => {
  const path = join(tmpdir(), `cardea-test-pipe-${randomBytes(8).toString('hex')}`)
  await once(spawn('mkfifo', [path], { stdio: 'ignore' }), 'exit')
  onEnd.push(() => rm(path))
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return { reader, writer: open(path, constants.O_WRONLY) }
}

const patient = { interval: 50 }

const start = async (outputs: ServiceOutputs): Promise<ChildService> => {
  const service = home.spawn({}, outputs)
  const ready = async () => expect((await client.get('/health/ready')).status).toBe(200)
  await Promise.race([
    vi.waitFor(ready, patient),
    service.ended.then((ending) => {
      throw new Error(`the service ended: ${JSON.stringify(ending)} ${service.stderr()}`)
    }),
  ])
  return service
}

/** Each makes a line of the log: 4 MB in all, of which the service keeps 1 MB. */
const requests = 3_000
const atOnce = 50

const askOften = async (): Promise<void> => {
  for (let sent = 0; sent < requests; sent += atOnce) {
    const answers = await Promise.all(Array.from({ length: atOnce }, () => client.get('/account')))
    expect(answers.every(({ status }) => status === 401)).toBe(true)
  }
}

const logState = async () => (await client.get('/health/ready')).body

const dropping = { status: 'degraded', log: 'dropping' }

const expectToServe = async (): Promise<void> => {
  await askOften()
  expect(await logState()).toMatchObject(dropping)
  expect((await client.get('/health/live')).body).toEqual({ status: 'live' })
  expect((await client.get('/.well-known/jwks.json')).status).toBe(200)
}

const ends: Readonly<Record<string, () => Promise<ServiceOutputs>>> = {
  'a file system that is full': async () => ({ stdout: open('/dev/full', constants.O_WRONLY) }),
  'a socket that nobody reads': async () => {
    const silent = spawn('sleep', ['600'], { stdio: ['pipe', 'ignore', 'ignore'] })
    onEnd.push(async () => {
      const ended = once(silent, 'exit')
      silent.kill('SIGKILL')
      await ended
    })
    // Its standard input is one end of a pair of sockets; ours is the other.
    const fd = Reflect.get(Reflect.get(silent.stdin, '_handle'), 'fd')
    return { stdout: Number(fd) }
  },
  'a pipe whose reader has gone': async () => {
    const { reader, writer } = await kernelPipe()
    closeSync(reader)
    return { stdout: writer }
  },
  'the same pipe as standard error, and nobody reads it': async () => {
    const { reader, writer } = await kernelPipe()
    onEnd.push(() => closeSync(reader))
    return { stdout: writer, stderr: writer }
  },
}

describe('with a log that cannot be written', () => {
  test.each(Object.entries(ends))(
    '%s: every request is answered, readiness says that lines are lost, and SIGTERM ends the process',
    async (_name, outputs) => {
      const service = await start(await outputs())
      await expectToServe()
      service.signal('SIGTERM')
      expect(await service.ended).toEqual({ code: 0, signal: null })
    },
  )
})

/**
 * Node gives its standard streams back as it found them, also when others write to the same pipe meanwhile: the pipe of the service then
 * waits again for its reader.
 */
const neighbour = async (stdout: number) => {
  const other = spawn(
    process.execPath,
    ['-e', 'process.stdin.resume(); process.stderr.write(String(process.stdout.writableLength))'],
    { stdio: ['pipe', stdout, 'pipe'] },
  )
  await once(other.stderr!, 'data')
  return async () => {
    const ended = once(other, 'exit')
    other.stdin?.end()
    await ended
  }
}

test('a write that the kernel never gives back, as on a disk that hangs, holds up neither requests nor the end', async () => {
  const { reader, writer } = await kernelPipe()
  onEnd.push(() => closeSync(reader))
  const leave = await neighbour(writer)
  const service = await start({ stdout: writer })
  await leave()
  await expectToServe()
  service.signal('SIGTERM')
  expect(await service.ended).toEqual({ code: null, signal: 'SIGKILL' })
})

const readAll = (fd: number): string => {
  const buffer = Buffer.alloc(64 * 1024)
  let text = ''
  for (;;) {
    try {
      const bytes = readSync(fd, buffer)
      if (bytes === 0) return text
      text += buffer.toString('latin1', 0, bytes)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return text
      throw error
    }
  }
}

type Line = { readonly msg: string; readonly lines?: number }

type Blocked = {
  readonly outputs: ServiceOutputs
  readonly begin: (service: ChildService) => Promise<void>
  readonly end: (service: ChildService) => Promise<void>
  /** What was written since the last call. */
  readonly read: () => string
}

const limitFiles = async ({ pid }: ChildService, bytes: string): Promise<void> => {
  const child = spawn('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
  expect(await once(child, 'exit')).toEqual([0, null])
}

const nothing = async () => undefined

const blocked: Readonly<Record<string, () => Promise<Blocked>>> = {
  'a reader that comes back': async () => {
    const { reader, writer } = await kernelPipe()
    onEnd.push(() => closeSync(reader))
    return {
      outputs: { stdout: writer },
      begin: nothing,
      end: nothing,
      read: () => readAll(reader),
    }
  },
  'a file that has room again': async () => {
    const path = join(tmpdir(), `cardea-test-log-${randomBytes(8).toString('hex')}`)
    const writer = open(path, constants.O_WRONLY | constants.O_CREAT)
    onEnd.push(() => rm(path))
    const reader = open(path, constants.O_RDONLY)
    return {
      outputs: { stdout: writer },
      // As on a disk that fills up: some of a write fits, and then nothing.
      begin: (service) => limitFiles(service, '100001'),
      end: (service) => limitFiles(service, 'unlimited'),
      read: () => readAll(reader),
    }
  },
}

test.each(Object.entries(blocked))(
  '%s gets whole lines, how many are missing, and the lines from then on',
  async (_name, block) => {
    const { outputs, begin, end, read } = await block()
    const service = await start(outputs)
    await begin(service)
    await askOften()
    expect(await logState()).toMatchObject(dropping)
    await end(service)
    let text = ''
    await vi.waitFor(async () => {
      text += read()
      expect(text).toContain('lines of the log were dropped')
      expect(await logState()).toMatchObject({ log: 'complete' })
    }, patient)
    service.signal('SIGTERM')
    await vi.waitFor(() => {
      text += read()
      expect(text).toContain('"stopped"')
    }, patient)
    expect(await service.ended).toEqual({ code: 0, signal: null })
    const lines: Line[] = text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
    const missing = lines.reduce((sum, line) => sum + (line.lines ?? 0), 0)
    const kept = lines.filter(({ msg }) => msg === 'request refused').length
    expect(missing).toBeGreaterThan(0)
    expect(kept + missing).toBe(requests)
  },
)

test('a start that fails says so by its exit code when standard error is full', async () => {
  const full = open('/dev/full', constants.O_WRONLY)
  const service = home.spawn({ PORT: 'none' }, { stdout: full, stderr: full })
  expect(await service.ended).toEqual({ code: 3, signal: null })
})
