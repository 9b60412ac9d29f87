import { afterAll, describe, expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer, Client } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'
import { postForm } from '../support/service/service-client.ts'

const dayMs = 24 * 3600 * 1000
const graceMs = 10_000

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 3 })
const { migrateUrl: ownerUrl, databaseUrl: appUrl } = cardea.stores
const over = { clock, database: { ownerUrl, appUrl } }
const ends = { refreshLostResponse: 'end', refreshGraceSeconds: 10 } as const
/** The same deployment with other settings. */
const frugal = await startCardea({ ...over, config: { loggedActsPerAccount: 8 }, redisUrl: null })
const strict = await startCardea({ ...over, config: ends })
const strictest = await startCardea({ ...over, config: { ...ends, refreshGraceSeconds: 0 } })
const asOwner = sqlAs(ownerUrl)
const trail = auditEntries(ownerUrl)
afterAll(async () => {
  for (const service of [frugal, strict, strictest, cardea]) await service.stop()
})

type Device = {
  readonly logIn: (on?: Cardea) => Promise<string>
  readonly present: (handle: string, client?: Client) => Promise<Answer>
  readonly handleIn: (answer: Answer) => string
  readonly refusal: object
}

const ended = { status: 401, body: { code: 'session_ended', reason: 'token_reuse' } }

const logInAs =
  (more: Readonly<Record<string, unknown>>) =>
  async (on = cardea): Promise<string> =>
    (await on.client.logIn(await on.createAccount(), more)).refreshToken

const byCookie = {
  present: (handle: string, client = cardea.client) => client.refresh(handle),
  handleIn: (answer: Answer) => answer.refreshCookie ?? '',
  refusal: ended,
}

/** Every way to be kept logged in by a refresh token. */
const devices: readonly (readonly [string, Device])[] = [
  ['a token session in a cookie', { ...byCookie, logIn: logInAs({}) }],
  ['a sealed session', { ...byCookie, logIn: logInAs({ session: 'sealed' }) }],
  [
    'a token session in the body',
    {
      logIn: logInAs({ delivery: 'body' }),
      present: (handle, client = cardea.client) => client.refreshByBody(handle),
      handleIn: (answer) => answer.body.refresh_token,
      refusal: ended,
    },
  ],
  [
    'the refresh_token grant of OAuth',
    {
      logIn: logInAs({ delivery: 'body' }),
      present: (refresh_token, client = cardea.client) =>
        postForm(client, '/oauth/token', undefined, { grant_type: 'refresh_token', refresh_token }),
      handleIn: (answer) => answer.body.refresh_token,
      refusal: { status: 400, body: { error: 'invalid_grant' } },
    },
  ],
]

const endReasonOf = async (handle: string): Promise<string | null | undefined> => {
  const id = Buffer.from(handleFields(handle).sessionId, 'base64url')
  const text = 'SELECT end_reason FROM sessions WHERE id = $1'
  return (await asOwner<{ end_reason: string | null }>(text, [id]))[0]?.end_reason
}

describe.each(devices)('%s', (_name, { logIn, present, handleIn, refusal }) => {
  const expectIssued = (answer: Answer, generation: number): string => {
    expect(answer.status, answer.text).toBe(200)
    expect(handleFields(handleIn(answer)).generation).toBe(generation)
    return handleIn(answer)
  }

  test.each([graceMs, 15_000, 13 * dayMs])(
    'I13: a client that lost a response and comes back after %i ms is issued a further successor',
    async (afterMs) => {
      const first = await logIn()
      expectIssued(await present(first), 1)
      clock.advance(afterMs)
      await trail()
      const second = expectIssued(await present(first), 2)
      expect(await trail()).toMatchObject([
        { event: 'refresh_response_lost', outcome: 'success', reason: null, actor: 'system' },
      ])
      // Within the grace of that response its retries converge, as after any other.
      for (let retry = 0; retry < 3; retry += 1) {
        clock.advance(graceMs - 1)
        expect(expectIssued(await present(first), 2)).toBe(second)
      }
      expect(await trail()).toEqual([])
      expectIssued(await present(second), 3)
      expect(await endReasonOf(first)).toBeNull()
    },
  )

  test('I13: any number of responses may be lost in a row', async () => {
    const first = await logIn()
    expectIssued(await present(first), 1)
    for (let lost = 2; lost <= 6; lost += 1) {
      clock.advance(graceMs)
      expectIssued(await present(first), lost)
    }
    const next = expectIssued(await present(first), 6)
    const after = expectIssued(await present(next), 7)
    clock.advance(graceMs)
    // The rotation has moved the last presented generation on: lost again, it is the last one that counts.
    expectIssued(await present(next), 8)
    expect(await endReasonOf(after)).toBeNull()
  })

  test('R41, I14: a handle that was believed lost and is presented after all ends the session, for everybody', async () => {
    const first = await logIn()
    const orphan = expectIssued(await present(first), 1)
    clock.advance(graceMs)
    const newest = expectIssued(await present(first), 2)
    await trail()
    expect(await present(orphan)).toMatchObject(refusal)
    expect(await trail()).toMatchObject([{ event: 'token_reuse', outcome: 'failure' }])
    expect(await present(newest)).toMatchObject(refusal)
    expect(await endReasonOf(first)).toBe('token_reuse')
  })

  test('R41, I14: of two holders the second ends the session, whichever goes first', async () => {
    for (const thiefIsFirst of [true, false]) {
      const stolen = await logIn()
      const owners = expectIssued(await present(stolen), 1)
      clock.advance(graceMs)
      const thiefs = expectIssued(await present(stolen), 2)
      clock.advance(graceMs)
      const [before, after] = thiefIsFirst ? [thiefs, owners] : [owners, thiefs]
      const answer = await present(before)
      expect(answer.status === 200).toBe(thiefIsFirst)
      expect(await present(after)).toMatchObject(refusal)
      expect(await endReasonOf(stolen)).toBe('token_reuse')
    }
  })

  test('R40: late retries at once over three processes get one successor, and one event tells of them', async () => {
    for (let round = 0; round < 5; round += 1) {
      const first = await logIn()
      expectIssued(await present(first), 1)
      clock.advance(graceMs)
      await trail()
      const all = await Promise.all(
        Array.from({ length: 15 }, (_, turn) => present(first, cardea.clientOf(turn % 3))),
      )
      const successors = new Set(all.map((answer) => expectIssued(answer, 2)))
      expect(successors.size).toBe(1)
      expect((await trail()).map(({ event }) => event)).toEqual(['refresh_response_lost'])
    }
  })

  test('an account that spends its budget on lost responses goes on, and adds nothing more to the audit trail', async () => {
    const on = (handle: string) => present(handle, frugal.client)
    let handle = await logIn(frugal)
    await trail()
    for (let round = 0; round < 6; round += 1) {
      await on(handle)
      // Lost twice: the second time is not worth a row in any case.
      for (let lost = 0; lost < 2; lost += 1) {
        clock.advance(graceMs)
        const answer = await on(handle)
        expect(answer.status).toBe(200)
        if (lost === 1) handle = handleIn(answer)
      }
    }
    // A quarter of the budget for one session.
    const lost = (await trail()).filter(({ event }) => event === 'refresh_response_lost')
    expect(lost).toHaveLength(2)
  })

  test('R41: under REFRESH_LOST_RESPONSE=end the last presented handle ends the session after the grace, and with no grace at once', async () => {
    for (const service of [strict, strictest]) {
      const on = (handle: string) => present(handle, service.client)
      const { refreshGraceSeconds } = service.config
      const first = await logIn(service)
      const second = expectIssued(await on(first), 1)
      if (refreshGraceSeconds > 0) expect(expectIssued(await on(first), 1)).toBe(second)
      clock.advance(refreshGraceSeconds * 1000)
      expect(await on(first)).toMatchObject(refusal)
      expect(await on(second)).toMatchObject(refusal)
    }
  })

  test('a process of the version before rotates in between, and the last presented handle is still the right one', async () => {
    const first = await logIn()
    expectIssued(await present(first), 1)
    clock.advance(graceMs)
    const third = expectIssued(await present(first), 2)
    // Its statement knows of no presented generation.
    const id = Buffer.from(handleFields(first).sessionId, 'base64url')
    await asOwner('UPDATE sessions SET generation = generation + 1 WHERE id = $1', [id])
    clock.advance(graceMs)
    expectIssued(await present(third), 4)
  })
})
