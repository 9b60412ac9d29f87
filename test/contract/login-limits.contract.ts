import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  type LoginAttempt,
  type LoginLimitRules,
  type LoginLimits,
  loginLimitRules,
  TooManyAttempts,
} from '../../src/login/login-limits.ts'

export const deviceA = 'AAAAAAAAAAAAAAAAAAAAAA'
const deviceB = 'BBBBBBBBBBBBBBBBBBBBBA'

export const attempt = (more: Partial<LoginAttempt> = {}): LoginAttempt => ({
  identifier: 'ada@example.com',
  address: '192.0.2.1',
  deviceId: undefined,
  ...more,
})

/** The refusal, or undefined when the attempt was admitted, and then it failed. */
export const fail = async (
  limits: LoginLimits,
  more: Partial<LoginAttempt> = {},
): Promise<TooManyAttempts | undefined> => {
  try {
    const admittedAttempt = await limits.admit(attempt(more))
    await admittedAttempt.failed()
    return undefined
  } catch (error) {
    if (error instanceof TooManyAttempts) return error
    throw error
  }
}

export const failTimes = async (
  limits: LoginLimits,
  times: number,
  more: (index: number) => Partial<LoginAttempt> = () => ({}),
): Promise<(TooManyAttempts | undefined)[]> => {
  const outcomes: (TooManyAttempts | undefined)[] = []
  for (let index = 0; index < times; index++) outcomes.push(await fail(limits, more(index)))
  return outcomes
}

/** How many were admitted. */
export const admitted = (outcomes: readonly (TooManyAttempts | undefined)[]): number =>
  outcomes.filter((outcome) => outcome === undefined).length

/** Another account each time, so that only the limits shared by many can refuse. */
const spray = (index: number) => ({ identifier: `user${index}@example.com` })

const rules = (more: Partial<LoginLimitRules> = {}): LoginLimitRules => ({
  ...loginLimitRules(),
  ...more,
})

/** What every implementation of `LoginLimits` must do. `open` gives limits that have counted nothing yet. */
export const loginLimitsContract = (
  name: string,
  open: (rules: LoginLimitRules) => Promise<LoginLimits>,
) => {
  describe(`limits on login attempts, counted in ${name}: an account`, () => {
    test('R105: the fifth attempt on one account is refused, from whatever address it comes', async () => {
      const limits = await open(rules())
      const outcomes = await failTimes(limits, 5, (index) => ({ address: `10.${index}.0.1` }))
      expect(admitted(outcomes)).toBe(4)
      expect(outcomes[4]?.code).toBe('too_many_attempts')
      expect(outcomes[4]?.status).toBe(429)
      expect(outcomes[4]?.limit).toBe('account')
      expect(outcomes[4]?.retryAfterSeconds).toBeGreaterThan(50)
      expect(outcomes[4]?.retryAfterSeconds).toBeLessThanOrEqual(60)
    })

    test('R105: each identifier has its own run of failures, and all are counted alike', async () => {
      const limits = await open(rules())
      const known = await failTimes(limits, 6)
      const unknown = await failTimes(limits, 6, () => ({ identifier: 'nobody@example.com' }))
      const view = (outcome: TooManyAttempts | undefined) =>
        outcome && { code: outcome.code, limit: outcome.limit, message: outcome.message }
      expect(unknown.map(view)).toEqual(known.map(view))
      expect(admitted(unknown)).toBe(4)
    })

    test('R105: a success ends the run of failures', async () => {
      const limits = await open(rules())
      await failTimes(limits, 3)
      const success = await limits.admit(attempt())
      await success.succeeded()
      expect(admitted(await failTimes(limits, 5))).toBe(4)
    })

    test('R105: the delays grow as the longer windows fill up', async () => {
      const limits = await open(
        rules({
          account: [
            { attempts: 2, seconds: 1 },
            { attempts: 3, seconds: 60 },
            { attempts: 5, seconds: 3600 },
          ],
        }),
      )
      const [, , short] = await failTimes(limits, 3)
      expect(short?.retryAfterSeconds).toBe(1)
      await sleep(1000)
      const [third, long] = await failTimes(limits, 2)
      expect(third).toBeUndefined()
      expect(long?.retryAfterSeconds).toBeGreaterThan(50)
    })

    test('the wait that is told holds for every spent limit, not only for the first that refuses', async () => {
      const limits = await open(
        rules({
          account: [
            { attempts: 2, seconds: 1 },
            { attempts: 2, seconds: 600 },
          ],
        }),
      )
      const [, , refusal] = await failTimes(limits, 3)
      expect(refusal?.retryAfterSeconds).toBeGreaterThan(500)
    })

    test('an attempt after the time that Retry-After told is admitted', async () => {
      const limits = await open(rules({ account: [{ attempts: 1, seconds: 1 }] }))
      const [, refusal] = await failTimes(limits, 2)
      // More refused attempts do not make the wait longer.
      await failTimes(limits, 3)
      await sleep((refusal?.retryAfterSeconds ?? 0) * 1000)
      expect(await fail(limits)).toBeUndefined()
    })

    test('R110: of fifty attempts at once exactly four are admitted', async () => {
      const limits = await open(rules())
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => fail(limits)))
      expect(admitted(outcomes)).toBe(4)
    })

    test('only the first refusal of a window says that it is the first', async () => {
      const limits = await open(rules())
      await failTimes(limits, 4)
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => fail(limits)))
      const refusals = outcomes.filter((outcome) => outcome !== undefined)
      expect(refusals.filter((refusal) => refusal.firstInWindow)).toHaveLength(1)
    })
  })

  describe(`limits on login attempts, counted in ${name}: many accounts`, () => {
    test('R106: one source that tries many accounts is refused, another source is not', async () => {
      const limits = await open(rules({ source: { attempts: 5, seconds: 600 } }))
      const outcomes = await failTimes(limits, 6, spray)
      expect(admitted(outcomes)).toBe(5)
      expect(outcomes[5]?.limit).toBe('source')
      expect(outcomes[5]?.retryAfterSeconds).toBeGreaterThan(500)
      expect(await fail(limits, { identifier: 'x@example.com', address: '192.0.2.2' })).toBe(
        undefined,
      )
    })

    test('R106: all addresses of one IPv6 /64 are one source', async () => {
      const limits = await open(rules({ source: { attempts: 5, seconds: 600 } }))
      const outcomes = await failTimes(limits, 6, (index) => ({
        ...spray(index),
        address: `2001:db8:1:2:${index + 1}::1`,
      }))
      expect(outcomes[5]?.limit).toBe('source')
      const neighbour = { identifier: 'x@example.com', address: '2001:db8:1:3::1' }
      expect(await fail(limits, neighbour)).toBeUndefined()
    })

    test('R106: an IPv4 address written as IPv6 is the same source', async () => {
      const limits = await open(rules({ source: { attempts: 5, seconds: 600 } }))
      await failTimes(limits, 5, spray)
      const mapped = await fail(limits, {
        identifier: 'x@example.com',
        address: '::ffff:192.0.2.1',
      })
      expect(mapped?.limit).toBe('source')
    })

    test.each([
      ['IPv4 /24', (index: number) => `192.0.2.${index}`, '192.0.3.1'],
      ['IPv6 /48', (index: number) => `2001:db8:1:${index}::1`, '2001:db8:2::1'],
    ])('R106: sources of one network (%s) share a limit', async (_, within, outside) => {
      const limits = await open(rules({ network: { attempts: 5, seconds: 600 } }))
      const outcomes = await failTimes(limits, 6, (index) => ({
        ...spray(index),
        address: within(index + 1),
      }))
      expect(admitted(outcomes)).toBe(5)
      expect(outcomes[5]?.limit).toBe('network')
      expect(await fail(limits, { identifier: 'x@example.com', address: outside })).toBeUndefined()
    })

    test('R106: all sources together share a limit', async () => {
      const limits = await open(rules({ global: { attempts: 5, seconds: 600 } }))
      const outcomes = await failTimes(limits, 6, (index) => ({
        ...spray(index),
        address: `10.${index}.0.1`,
      }))
      expect(admitted(outcomes)).toBe(5)
      expect(outcomes[5]?.limit).toBe('global')
    })

    test('only failures count: successes use nothing up', async () => {
      const few = { attempts: 2, seconds: 600 }
      const limits = await open(rules({ source: few, network: few, global: few }))
      for (let index = 0; index < 10; index++) {
        const success = await limits.admit(attempt(spray(index)))
        await success.succeeded()
      }
      expect(admitted(await failTimes(limits, 3, spray))).toBe(2)
    })

    test('an attempt refused for its account counts in no limit that others share', async () => {
      const six = { attempts: 6, seconds: 600 }
      const limits = await open(rules({ source: six, network: six, global: six }))
      expect(admitted(await failTimes(limits, 30))).toBe(4)
      expect(admitted(await failTimes(limits, 3, spray))).toBe(2)
    })

    test('R103: an attempt whose address cannot be read is denied, not admitted', async () => {
      const limits = await open(rules())
      await expect(limits.admit(attempt({ address: 'not an address' }))).rejects.toMatchObject({
        code: 'limits_unavailable',
        status: 503,
      })
    })
  })

  describe(`limits on login attempts, counted in ${name}: what is under way`, () => {
    const one = (index: number) => attempt(spray(index))

    test('R106: attempts under way are bounded by themselves, are told to come back in a second, and use up no failures', async () => {
      const limits = await open(rules({ source: { attempts: 5, seconds: 600 } }))
      const underWay = await Promise.all(
        Array.from({ length: 5 }, (_, index) => limits.admit(one(index))),
      )
      expect(await fail(limits, spray(5))).toMatchObject({
        limit: 'source',
        retryAfterSeconds: 1,
        firstInWindow: false,
      })
      await underWay[0]?.succeeded()
      await (await limits.admit(one(6))).succeeded()
      await Promise.all(underWay.slice(1).map((passed) => passed.succeeded()))
      expect(admitted(await failTimes(limits, 6, spray))).toBe(5)
    })

    test('R106: right passwords beside failures are admitted, until failures have spent the limit', async () => {
      const limits = await open(rules({ source: { attempts: 5, seconds: 600 } }))
      await failTimes(limits, 4, spray)
      const underWay = await Promise.all(
        Array.from({ length: 5 }, (_, index) => limits.admit(one(10 + index))),
      )
      await Promise.all(underWay.map((passed) => passed.succeeded()))
      expect(await fail(limits, spray(20))).toBeUndefined()
      const refused = await fail(limits, spray(21))
      expect(refused).toMatchObject({ limit: 'source', firstInWindow: true })
      expect(refused?.retryAfterSeconds).toBeGreaterThan(500)
    })

    test('R110: of a thousand guesses at once a source gets no more than may fail and may be under way', async () => {
      const limits = await open(rules({ source: { attempts: 20, seconds: 600 } }))
      const outcomes = await Promise.all(
        Array.from({ length: 1000 }, (_, index) => fail(limits, spray(index))),
      )
      expect(admitted(outcomes)).toBeGreaterThanOrEqual(20)
      expect(admitted(outcomes)).toBeLessThanOrEqual(40)
      expect(admitted(await failTimes(limits, 30, (index) => spray(2000 + index)))).toBe(0)
    })

    test('an attempt that was never judged leaves its place and no failure', async () => {
      const limits = await open(rules({ source: { attempts: 1, seconds: 600 } }))
      for (let index = 0; index < 5; index++) await (await limits.admit(one(index))).withdrawn()
      expect(await fail(limits, spray(9))).toBeUndefined()
    })
  })

  describe(`limits on login attempts, counted in ${name}: a known device`, () => {
    test('R109: the owner of an account under attack is not locked out', async () => {
      const few = { attempts: 6, seconds: 600 }
      const limits = await open(rules({ network: few, global: few }))
      await failTimes(limits, 30, (index) => ({ address: `192.0.2.${index + 10}` }))
      await failTimes(limits, 30, (index) => ({ ...spray(index), address: '192.0.2.200' }))
      const owner = await limits.admit(attempt({ deviceId: deviceA }))
      await owner.succeeded()
      expect((await fail(limits))?.limit).toBe('global')
    })

    test('a stolen device token allows no more guesses than any other device', async () => {
      const limits = await open(rules())
      const outcomes = await failTimes(limits, 5, () => ({ deviceId: deviceA }))
      expect(admitted(outcomes)).toBe(4)
      expect(outcomes[4]?.limit).toBe('account')
      expect(await fail(limits, { deviceId: deviceB })).toBeUndefined()
      const other = { identifier: 'bob@example.com', deviceId: deviceA }
      expect(await fail(limits, other)).toBeUndefined()
    })

    test('R109: nor is one who shares the address of the attackers', async () => {
      const few = { attempts: 3, seconds: 600 }
      const limits = await open(rules({ source: few, network: few, global: few }))
      await failTimes(limits, 4, spray)
      expect((await fail(limits))?.limit).toBe('global')
      await (await limits.admit(attempt({ deviceId: deviceA }))).succeeded()
      // What a known device fails is counted for it alone.
      expect(admitted(await failTimes(limits, 5, () => ({ deviceId: deviceA })))).toBe(4)
    })
  })
}
