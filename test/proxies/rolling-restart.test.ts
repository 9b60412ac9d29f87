import { writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { codeBlock } from '../documentation/markdown.ts'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/programs/child-service.ts'
import { findProxy } from '../support/programs/find-proxy.ts'
import {
  type Prepare,
  type RunningProxy,
  startProxyProcess,
} from '../support/programs/proxy-process.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { httpClient } from '../support/service/client.ts'

let database: FreshDatabase
let homes: ServiceHome[] = []
const services: ChildService[] = []
let haproxy: RunningProxy
let nginx: RunningProxy
let person: { email: string; password: string }

/** The lines of the guide, with the addresses of the two processes of this test. */
const guideLines = (holding: string): string => {
  const [a, b] = homes.map(({ address }) => new URL(address).host)
  const code = codeBlock('docs/guides/reverse-proxies.md', holding)
  expect(code).toContain(' 10.0.0.1:8088')
  expect(code).toContain(' 10.0.0.2:8088')
  return code.replace('10.0.0.1:8088', a ?? '').replace('10.0.0.2:8088', b ?? '')
}

/** The check has no Host and speaks HTTP/1.0. */
const prepareHaproxy: Prepare = async ({ folder, port }) => {
  const file = join(folder, 'haproxy.cfg')
  await writeFile(
    file,
    `
defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 60s
    timeout check 60s
frontend site
    bind 127.0.0.1:${port}
    stats enable
    stats uri /haproxy
    default_backend cardea
${guideLines('option httpchk')}`,
  )
  return { args: ['-db', '-f', file] }
}

const prepareNginx: Prepare = async ({ folder, port }) => {
  const file = join(folder, 'nginx.conf')
  const [upstream = '', perLocation = ''] = guideLines('upstream cardea').split(
    '# In each location that leads to Cardea:\n',
  )
  await writeFile(
    file,
    `
${process.geteuid?.() === 0 ? `user ${userInfo().username};` : ''}
daemon off;
pid ${folder}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join('\n  ')}
  ${upstream}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://cardea;
      proxy_set_header Host $host;
      ${perLocation}
    }
  }
}
`,
  )
  return { args: ['-p', folder, '-c', file, '-e', 'stderr'] }
}

beforeAll(async () => {
  database = await freshDatabase()
  const settings = {
    DATABASE_URL: database.appUrl,
    MIGRATE_DATABASE_URL: database.ownerUrl,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a-secret-of-the-restarts-of-the-tests',
    TRUSTED_PROXIES: '127.0.0.1/32',
    ISSUER: 'http://127.0.0.1',
    // HAProxy needs a fraction of it, also on a busy machine.
    SHUTDOWN_DELAY_SECONDS: '8',
    REFRESH_GRACE_SECONDS: '60',
    LOG_LEVEL: 'warn',
  }
  homes = [await serviceHome(settings), await serviceHome(settings)]
  for (const home of homes) services.push(await home.start())
  const [first] = services
  if (!first) throw new Error('no service')
  person = { email: firstOperatorEmail, password: printedPassword(first) }
  const nowhere = { cardea: '', app: '' }
  haproxy = await startProxyProcess(await findProxy('haproxy'), nowhere, prepareHaproxy)
  nginx = await startProxyProcess(await findProxy('nginx'), nowhere, prepareNginx)
})

afterAll(async () => {
  for (const proxy of [haproxy, nginx]) await proxy?.stop()
  for (const home of homes) await home.remove()
  await database?.drop()
})

/** What HAProxy believes of the two servers. */
const statesInHaproxy = async (): Promise<(string | undefined)[]> => {
  const csv = await (await fetch(`http://127.0.0.1:${haproxy.port}/haproxy;csv`)).text()
  const [head = '', ...rows] = csv.split('\n')
  const column = head.split(',').indexOf('status')
  return ['a', 'b'].map(
    (name) => rows.find((row) => row.startsWith(`cardea,${name},`))?.split(',')[column],
  )
}

type Load = { readonly failures: string[]; readonly count: () => number; stop: () => Promise<void> }

/** Somebody who refreshes all the time, by POST, which proxies send once, and reads what verifiers read. */
const somebodyAt = async (name: string, { port }: RunningProxy): Promise<Load> => {
  const client = httpClient(`http://127.0.0.1:${port}`)
  const failures: string[] = []
  let { refreshToken } = await client.logIn(person)
  let isOver = false
  let count = 0
  const once = async () => {
    const refreshed = await client.refresh(refreshToken)
    if (refreshed.status === 200) refreshToken = refreshed.refreshCookie ?? refreshToken
    else failures.push(`${name}: refresh ${refreshed.status} ${refreshed.text.slice(0, 200)}`)
    const keys = await client.get('/.well-known/jwks.json')
    if (keys.status !== 200) failures.push(`${name}: keys ${keys.status}`)
    count += 1
  }
  const loop = async () => {
    while (!isOver) {
      await once().catch((error: unknown) => failures.push(`${name}: ${String(error)}`))
      await pause(10)
    }
  }
  const running = loop()
  return {
    failures,
    count: () => count,
    stop: async () => {
      isOver = true
      await running
    },
  }
}

test('R104: a rolling restart behind HAProxy and nginx loses no request', async () => {
  await vi.waitFor(async () => expect(await statesInHaproxy()).toEqual(['UP', 'UP']))
  const people = await Promise.all(
    [1, 2].flatMap((number) => [
      somebodyAt(`haproxy ${number}`, haproxy),
      somebodyAt(`nginx ${number}`, nginx),
    ]),
  )
  const counts = () => people.map(({ count }) => count())
  /** Each of them has come through since. */
  const goOn = async () => {
    const before = counts()
    await vi.waitFor(() =>
      expect(counts().every((count, place) => count > (before[place] ?? 0) + 2)).toBe(true),
    )
  }
  for (const [place, home] of homes.entries()) {
    await goOn()
    const service = services[place]
    service?.signal('SIGTERM')
    await vi.waitFor(async () => expect((await statesInHaproxy())[place]).toBe('DOWN'))
    expect(await service?.ended).toEqual({ code: 0, signal: null })
    await goOn()
    services[place] = await home.start()
    await vi.waitFor(async () => expect(await statesInHaproxy()).toEqual(['UP', 'UP']))
  }
  await goOn()
  for (const somebody of people) await somebody.stop()
  expect(people.flatMap(({ failures }) => failures)).toEqual([])
})
