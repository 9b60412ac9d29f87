import { generateKeyPairSync, sign } from 'node:crypto'
import { SignJWT } from 'jose'
import { newId, systemClock, systemRandom } from '../../src/lib/machine.ts'
import { mintAccessToken, type TokenSubject } from '../../src/tokens/index.ts'
import { answerCalls } from '../calls.ts'
import { type Lane, runLanes, type Sample } from '../sample.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const kid = systemRandom(32).toString('base64url')
const issuer = 'http://127.0.0.1:8088'

const subject: TokenSubject = {
  subjectId: newId(systemRandom),
  sessionId: newId(systemRandom),
  clientId: 'first-party',
  audience: issuer,
  scope: 'account',
  roles: [],
  authenticatedAtMs: Date.now(),
  factsReadAtMs: Date.now(),
  amr: ['pwd'],
  acr: 'aal1',
  epochs: [1, 1, 1],
}

const mint = mintAccessToken({
  signer: () => ({ kid, algorithm: 'ES256', privateKey }),
  issuer,
  accessTokenSeconds: 900,
  clock: systemClock,
  random: systemRandom,
})

/** Header and claims of a real token, for the variants that only sign. */
const [header = '', claims = ''] = mint(subject).token.split('.')
const input = Buffer.from(`${header}.${claims}`)
const payload = JSON.parse(Buffer.from(claims, 'base64url').toString())

/** Done in batches, so that reading the clock and waiting for the next turn is not measured. */
const batch = 100

/** The share of a round for the times of single signatures. */
const timedShare = 0.25

const ways = {
  mint: () => mint(subject),
  'node:crypto': () => sign('sha256', input, privateKey),
  jose: () =>
    new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt' }).sign(privateKey),
} satisfies Record<string, () => unknown>

/** Each turn of a lane signs this many. */
const laneOf = (way: () => unknown, each: number): Lane => {
  return async () => {
    for (let turn = 0; turn < each; turn += 1) {
      const signed = way()
      if (signed instanceof Promise) await signed
    }
  }
}

export type Signing = keyof typeof ways

const calls = {
  run: async ({ how, seconds }: { how: Signing; seconds: number }): Promise<Sample> => {
    const way = ways[how]
    const rate = await runLanes([laneOf(way, batch)], { seconds: seconds * (1 - timedShare) })
    const times = await runLanes([laneOf(way, 1)], { seconds: seconds * timedShare })
    const { cpuShare } = rate
    return { ...times, count: rate.count * batch, perSecond: rate.perSecond * batch, cpuShare }
  },
}

export type SigningCalls = typeof calls

answerCalls(calls)
