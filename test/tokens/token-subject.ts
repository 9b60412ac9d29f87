import { audience, startMs } from '../../packages/verifier/test/tokens/signed-tokens.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import type { TokenSubject } from '../../src/tokens/index.ts'

/** What a token is minted for: a person who logged in a minute before. */
export const subject = (): TokenSubject => ({
  subjectId: newId(systemRandom),
  sessionId: newId(systemRandom),
  clientId: 'first-party',
  audience,
  scope: 'openid',
  roles: ['reader'],
  authenticatedAtMs: startMs - 60_500,
  amr: ['pwd'],
  acr: 'aal1',
  epochs: [1_893_000_000, 3, 7],
  factsReadAtMs: startMs,
})
