import { generateKeyPairSync, sign } from 'node:crypto'
import { SignJWT } from 'jose'
import { systemClock } from '../../src/lib/clock.ts'
import { newId } from '../../src/lib/id.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { mintAccessToken, type TokenSubject } from '../../src/tokens/index.ts'
import { answerCalls } from '../calls.ts'
import { type Extent, type Lane, runLanes, type Sample } from '../sample.ts'

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

/** Header and claims of a real token, for those that only sign. */
const [header = '', claims = ''] = mint(subject).token.split('.')
const input = Buffer.from(`${header}.${claims}`)
const payload = JSON.parse(Buffer.from(claims, 'base64url').toString())
/** Synchronous work is done in batches, so that waiting for the next turn is not what is measured. */
const batch = 100

const repeated = (work: () => unknown): Lane => {
  return async () => {
    for (let turn = 0; turn < batch; turn += 1) work()
  }
}

const lanes = {
  mint: repeated(() => mint(subject)),
  'node:crypto': repeated(() => sign('sha256', input, privateKey)),
  jose: async () => {
    for (let turn = 0; turn < batch; turn += 1) {
      await new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt' })
        .sign(privateKey)
    }
  },
} satisfies Record<string, Lane>

export type Signing = keyof typeof lanes

const calls = {
  /** Signatures, not batches: the latencies are of a batch and mean nothing. */
  run: async ({ how, extent }: { how: Signing; extent: Extent }): Promise<Sample> => {
    const sample = await runLanes([lanes[how]], extent)
    return { ...sample, count: sample.count * batch, perSecond: sample.perSecond * batch }
  },
}

export type SigningCalls = typeof calls

answerCalls(calls)
