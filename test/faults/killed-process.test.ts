import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
} from '../support/programs/child-service.ts'
import { holdSessions } from '../support/servers/hold-rows.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Answer, type Client, httpClient } from '../support/service/client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'

const kills = 20
const clients = 4

let home: ServiceOnDatabase
let client: Client
let service: ChildService
let password: string

beforeAll(async () => {
  home = await serviceOnDatabase({
    CARDEA_SECRET: 'a-secret-of-the-killed-process-of-the-tests',
    // Requests are held up on purpose; see holdSessions.
    DATABASE_STATEMENT_TIMEOUT_MS: '10000',
    LOG_LEVEL: 'warn',
    // However long a busy machine takes to start the process again.
    REFRESH_GRACE_SECONDS: '60',
  })
  client = httpClient(home.address)
  service = await home.start()
  password = printedPassword(service)
})
afterAll(() => home.remove())

const logIn = () => client.logIn({ email: firstOperatorEmail, password })

/** An answer, or nothing when the process was gone before it came. */
const tryRefresh = (handle: string): Promise<Answer | undefined> =>
  client.refresh(handle).catch(() => undefined)

/** A person whose app refreshes without a pause, and presents the same handle again when it got no answer. */
const person = (first: string) => {
  let handle = first
  let answered = 0
  let isStopped = false
  const refused: string[] = []
  const run = async (): Promise<void> => {
    while (!isStopped) {
      const answer = await tryRefresh(handle)
      if (answer?.status === 200) {
        handle = answer.refreshCookie ?? ''
        answered += 1
      } else if (answer && answer.status !== 503) refused.push(answer.text)
      // Nobody listens while the process starts again; without a pause this loop would take its processor time.
      if (!answer) await pause(50)
    }
  }
  const done = run()
  return {
    refused,
    answered: () => answered,
    handle: () => handle,
    stop: async () => {
      isStopped = true
      await done
    },
  }
}

test(`R46: killed ${kills} times in a stream of refreshes, the service signs nobody out`, async () => {
  const people: ReturnType<typeof person>[] = []
  for (let made = 0; made < clients; made += 1) people.push(person((await logIn()).refreshToken))
  for (let kill = 0; kill < kills; kill += 1) {
    const before = people.map((one) => one.answered())
    // Ever another number of answers after the last start, so that the kill meets a refresh at ever another point.
    const wanted = 1 + (kill % 4) * 2
    while (people.some((one, place) => one.answered() < before[place]! + wanted)) {
      await pause(1)
    }
    service.signal('SIGKILL')
    expect(await service.ended).toEqual({ code: null, signal: 'SIGKILL' })
    service = await home.start()
  }
  for (const one of people) await one.stop()
  expect(people.flatMap((one) => one.refused)).toEqual([])
  for (const one of people) expect((await client.refresh(one.handle())).status).toBe(200)
  const ended = 'SELECT end_reason FROM sessions WHERE ended_at IS NOT NULL'
  expect(await sqlAs(home.database.ownerUrl)(ended)).toEqual([])
})

/** The service has heard the signal: whoever comes now is sent elsewhere, or finds nobody. */
const whenClosing = (): Promise<void> =>
  vi.waitFor(
    async () => {
      const answer = await client.get('/health/live').catch(() => undefined)
      expect(answer?.status).not.toBe(200)
    },
    { interval: 20 },
  )

test('at SIGTERM the service finishes the requests under way and ends with exit code 0', async () => {
  const sessions = [await logIn(), await logIn(), await logIn(), await logIn()]
  const held = await holdSessions(home.database.ownerUrl)
  const underWay = sessions.map(({ refreshToken }) => client.refresh(refreshToken))
  await held.whenWaiting(underWay.length)
  service.signalGroup('SIGTERM')
  await whenClosing()
  await held.release()
  const answers = await Promise.all(underWay)
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect(await service.ended).toEqual({ code: 0, signal: null })
  expect(service.stderr()).toBe('')
  service = await home.start()
  for (const { refreshCookie } of answers) {
    expect((await client.refresh(refreshCookie ?? '')).status).toBe(200)
  }
})
