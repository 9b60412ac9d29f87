/**
 * What was issued and what was taken back, as a plain record of who did what when. It knows nothing of entries, epochs or cursors: that a
 * token is dead follows from its login having come before the act that revoked it. It shares no code with the product.
 */

/** S of the design: from so long after its commit on a revocation holds on every verifier that calls itself fresh. */
export const boundMs = 5_000

/** What a verifier forgives a token after its expiry. */
export const leewayMs = 30_000

/** When something was read: it began and ended between these two moments. Moments are counted, not timed, so no two are the same. */
export type Reading = { readonly from: number; readonly to: number }

export type SessionRecord = {
  readonly sessionId: string
  readonly accountId: string
  /** When the login looked at its account. */
  readonly logIn: Reading
  /** Set once the login is committed. */
  committed: number | undefined
  /** Whether a fail-over or a restore made it undone; its tokens are out there all the same. */
  isLost: boolean
}

export type TokenRecord = {
  readonly jti: string
  readonly sid: string
  readonly sub: string
  readonly kid: string
  readonly aep: readonly [number, number, number]
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  readonly session: SessionRecord
  /** When the roles in it were read. */
  readonly roles: Reading
  /** As a client sends it. */
  readonly text: string
}

/** What somebody wanted, in words that have nothing to do with how it is done. */
export type Meaning =
  | { readonly kind: 'token'; readonly jti: string }
  | { readonly kind: 'session'; readonly sessionId: string }
  /** Every session of the account that stood when it was asked for. */
  | { readonly kind: 'sessions'; readonly accountId: string; readonly asked: number }
  | { readonly kind: 'account'; readonly accountId: string }
  | { readonly kind: 'roles'; readonly accountId: string }
  | { readonly kind: 'key'; readonly kid: string }
  | { readonly kind: 'everyone' }

export type Act = {
  readonly meaning: Meaning
  readonly committedMs: number
  /** Its commit took place between these two moments. */
  readonly committing: number
  readonly committed: number
  /** Set when a fail-over or a restore made it undone: nobody is held to it any more. */
  lostAtMs: number | undefined
  /** When it was lost and nobody noticed: verifiers that know of it may hold on to it until its entry ends, by their own clocks. */
  hauntsUntilMs: number
}

/** Whether the act revokes: surely, surely not, or as chance decided while both were under way. */
type Effect = 'yes' | 'no' | 'perhaps'

type Commit = Pick<Act, 'committing' | 'committed'>

const compare = (reading: Reading, { committing, committed }: Commit): Effect => {
  if (reading.to < committing) return 'yes'
  return reading.from > committed ? 'no' : 'perhaps'
}

const ofStanding = (
  session: SessionRecord,
  { asked }: { asked: number },
  { committed }: Commit,
) => {
  if (session.committed !== undefined && session.committed < asked) return 'yes'
  return session.logIn.from > committed ? 'no' : 'perhaps'
}

/** Until when a verifier whose clock is right takes the token, were it not revoked. */
export const endOf = ({ expiresAtMs }: TokenRecord): number => expiresAtMs + leewayMs

/** Whether the session is over with it, so that its handle is good for nothing. */
const endsSession = (session: SessionRecord, act: Act): Effect => {
  const { meaning } = act
  switch (meaning.kind) {
    case 'session':
      return meaning.sessionId === session.sessionId ? 'yes' : 'no'
    case 'sessions':
      if (meaning.accountId !== session.accountId) return 'no'
      return ofStanding(session, meaning, act)
    case 'account':
      return meaning.accountId === session.accountId ? compare(session.logIn, act) : 'no'
    case 'everyone':
      return compare(session.logIn, act)
    case 'token':
    case 'roles':
    case 'key':
      return 'no'
  }
}

const revokes = (token: TokenRecord, act: Act): Effect => {
  const { meaning } = act
  switch (meaning.kind) {
    case 'token':
      return meaning.jti === token.jti ? 'yes' : 'no'
    case 'key':
      return meaning.kid === token.kid ? 'yes' : 'no'
    case 'roles':
      return meaning.accountId === token.sub ? compare(token.roles, act) : 'no'
    default:
      return endsSession(token.session, act)
  }
}

/** Whether somebody may still go by an act that a fail-over or a restore made undone. */
const isStillKnown = ({ lostAtMs, hauntsUntilMs }: Act, nowMs: number): boolean =>
  lostAtMs !== undefined && nowMs <= Math.max(hauntsUntilMs, lostAtMs + boundMs)

/** Acts by what they can concern, so that asking about a token does not go through all there ever were. */
const actsBySubject = () => {
  const lists = new Map<string, Act[]>()
  const listOf = (subject: string): Act[] => lists.get(subject) ?? []
  const subjectOf = (meaning: Meaning): string => {
    if ('jti' in meaning) return meaning.jti
    if ('sessionId' in meaning) return meaning.sessionId
    if ('accountId' in meaning) return meaning.accountId
    return 'kid' in meaning ? meaning.kid : 'everyone'
  }
  return {
    add: (act: Act) => {
      const subject = subjectOf(act.meaning)
      lists.set(subject, [...listOf(subject), act])
    },
    onSession: ({ sessionId, accountId }: SessionRecord): readonly Act[] => [
      ...listOf(sessionId),
      ...listOf(accountId),
      ...listOf('everyone'),
    ],
    onToken: ({ jti, kid, session }: TokenRecord): readonly Act[] => [
      ...listOf(jti),
      ...listOf(kid),
      ...listOf(session.sessionId),
      ...listOf(session.accountId),
      ...listOf('everyone'),
    ],
  }
}

export type Oracle = ReturnType<typeof newOracle>

export const newOracle = () => {
  let moment = 0
  const bySubject = actsBySubject()
  const sessions = new Map<string, SessionRecord>()
  const tokens = new Map<string, TokenRecord>()
  /** What is being tried: its commit may be seen before word of it is here. */
  const attempts = new Set<Act>()
  /** Accounts, each with the moment at which a change of its roles was lost. */
  const lostRoles = new Map<string, number>()

  /**
   * Made from what was lost since: a login or roles that the database knows nothing of, so that what is done to the account now does
   * not reach it. It is what `docs/guides/operate.md` has everyone revoked for.
   */
  const isOrphan = ({ session, roles, sub }: TokenRecord): boolean =>
    session.isLost || roles.to < (lostRoles.get(sub) ?? 0)

  const reaches = ({ meaning }: Act, token: TokenRecord): boolean => {
    const { kind } = meaning
    const goesByAccount = kind === 'account' || kind === 'roles' || kind === 'sessions'
    return !goesByAccount || !isOrphan(token)
  }
  return {
    /** The next moment: later than every one before. */
    moment: () => ++moment,
    tokens: tokens as ReadonlyMap<string, TokenRecord>,
    session: (sessionId: string): SessionRecord | undefined => sessions.get(sessionId),
    loggedIn: (session: SessionRecord) => void sessions.set(session.sessionId, session),
    minted: (token: TokenRecord) => void tokens.set(token.jti, token),
    /** Somebody begins to do that; to be called off when they are done. */
    attempted: (meaning: Meaning): (() => void) => {
      const never = Number.POSITIVE_INFINITY
      const attempt: Act = {
        ...{ meaning, committing: never, committed: never, committedMs: never },
        ...{ lostAtMs: undefined, hauntsUntilMs: 0 },
      }
      attempts.add(attempt)
      return () => void attempts.delete(attempt)
    },
    committed: (meaning: Meaning, committing: number, nowMs: number): Act => {
      const act: Act = {
        ...{ meaning, committing, committed: ++moment, committedMs: nowMs },
        ...{ lostAtMs: undefined, hauntsUntilMs: 0 },
      }
      bySubject.add(act)
      return act
    },
    /** A fail-over or a restore made it undone. Until `hauntsUntilMs` somebody may hold on to it. */
    lost: (act: Act, nowMs: number, hauntsUntilMs: number) => {
      act.lostAtMs = nowMs
      act.hauntsUntilMs = hauntsUntilMs
      if (act.meaning.kind === 'roles') lostRoles.set(act.meaning.accountId, ++moment)
    },
    /** Why everybody who is fresh must refuse the token: an act on it that is older than the bound. */
    mustBeRefused: (token: TokenRecord, nowMs: number): Act | undefined =>
      bySubject
        .onToken(token)
        .find(
          (act) =>
            act.lostAtMs === undefined &&
            act.committedMs + boundMs <= nowMs &&
            revokes(token, act) === 'yes' &&
            reaches(act, token),
        ),
    /** Undone acts may still be known to those who have not heard of it, for as long as they may call themselves fresh. */
    mayBeRefused: (token: TokenRecord, nowMs: number): boolean =>
      [...attempts].some((attempt) => revokes(token, attempt) !== 'no') ||
      bySubject
        .onToken(token)
        .some(
          (act) =>
            act.hauntsUntilMs > nowMs ||
            ((act.lostAtMs === undefined || nowMs <= act.lostAtMs + boundMs) &&
              revokes(token, act) !== 'no'),
        ),
    /** The act that ended the session before that moment. */
    endedBefore: (session: SessionRecord, asked: number): Act | undefined =>
      bySubject
        .onSession(session)
        .find(
          (act) =>
            act.lostAtMs === undefined &&
            act.committed < asked &&
            endsSession(session, act) === 'yes',
        ),
    /**
     * Whether anything happened that could have ended it. An undone act counts for whoever still knows of it, also against later logins:
     * a process honours what it knows to be revoked.
     */
    mayHaveEnded: (session: SessionRecord, nowMs: number): boolean =>
      [...attempts].some((attempt) => endsSession(session, attempt) !== 'no') ||
      bySubject
        .onSession(session)
        .some((act) => endsSession(session, act) !== 'no' || isStillKnown(act, nowMs)),
    /** The tokens that the act revokes for sure. */
    condemnedBy: (act: Act): readonly TokenRecord[] =>
      [...tokens.values()].filter((token) => revokes(token, act) === 'yes'),
    forgetEnded: (nowMs: number) => {
      for (const [jti, token] of tokens) if (endOf(token) < nowMs) tokens.delete(jti)
    },
  }
}
