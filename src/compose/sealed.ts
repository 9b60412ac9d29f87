import type { SecretRing } from '../keys/index.ts'
import {
  type Issued,
  type OpenedSession,
  openOnlySealable,
  type openSession,
  sealedAnswer,
} from '../sessions/index.ts'
import { sealAccessToken } from '../tokens/index.ts'

/** What the kind `sealed` adds to a log-in and a refresh. */
export const composeSealed = (ring: SecretRing, issue: (opened: OpenedSession) => Issued) => ({
  openOnlySealable: (open: ReturnType<typeof openSession>) => openOnlySealable(open, issue),
  answer: sealedAnswer(sealAccessToken(ring)),
})
