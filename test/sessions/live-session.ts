import type { SessionState } from '../../src/sessions/session.ts'

/** A live session as the store reads it, for decisions about handles; a test says what matters to it. */
export const liveSession = (
  changes: Pick<SessionState, 'generation' | 'presentedGeneration'> & Partial<SessionState>,
): SessionState => ({
  sessionId: 'AAAAAAAAAAAAAAAAAAAAAA',
  accountId: 'AQAAAAAAAAAAAAAAAAAAAA',
  clientId: 'first-party',
  audience: 'https://api.example.com',
  namedAudiences: [],
  scope: 'account',
  persists: true,
  amr: ['pwd'],
  acr: 'aal1',
  authenticatedAtMs: 0,
  lastUsedAtMs: 0,
  idleExpiresAtMs: Number.MAX_SAFE_INTEGER,
  absoluteExpiresAtMs: Number.MAX_SAFE_INTEGER,
  roles: [],
  claimsEpoch: 0,
  kind: 'token',
  globalEpoch: 1,
  accountEpoch: 0,
  delivery: 'cookie',
  ended: undefined,
  accountIsActive: true,
  epochHasRisen: false,
  ...changes,
})
