/** What a revocation can take back. Times are of the monotonic clock of the trial, milliseconds. */
type Revocable = {
  /** Its revocation was asked for: from then on a refusal is no mistake, whether or not the request succeeded. */
  isAsked: boolean
  /** When the operator held the response that says it is committed: not before the commit. */
  committedMs: number | undefined
}

/** A session, as the person who logged in knows it. */
export type Held = Revocable & {
  readonly sid: string
  readonly person: string
  /** The person was logged out, or a newer session took its place. */
  isOver: boolean
}

export type Issued = Revocable & {
  readonly token: string
  readonly jti: string
  readonly held: Held
  /** Names of those who accepted it, and who refused it as revoked. */
  readonly acceptedBy: Set<string>
  readonly refusedBy: Set<string>
}

/** S of the design. */
const boundMs = 5_000

const newCounts = () => ({
  refreshes: 0,
  /** Requests that were sent again after a 503, a closed connection or a time-out. */
  retries: 0,
  /** Responses that the person's machine received and forgot. */
  lost: 0,
  /** People who came back 15 s later with the handle that they had. */
  returns: 0,
  /** Responses that are neither the expected one nor a refusal nor a 503. */
  unexpected: 0,
  revocations: 0,
  /** Revoked tokens that somebody accepted before and that everybody refused in the end. */
  acceptedThenRefused: 0,
  thievesCaught: 0,
  longestGapMs: 0,
  longestWaitMs: 0,
  // The following must be zero.
  logOuts: 0,
  goodRefused: 0,
  deadAccepted: 0,
  missingSessions: 0,
  missingRevocations: 0,
  /** People who could not refresh, and verifiers that were not FRESH, long after everything was well again. */
  stuck: 0,
})

export type Counts = ReturnType<typeof newCounts>

export const wrongs = [
  'logOuts',
  'goodRefused',
  'deadAccepted',
  'missingSessions',
  'missingRevocations',
  'stuck',
] as const satisfies (keyof Counts)[]

export type Wrong = (typeof wrongs)[number]

export type Revocation = { readonly kind: 'sid' | 'jti' | 'sub'; readonly key: string }

export type Record = ReturnType<typeof openRecord>

/** Everything that is noted during one case. */
export const openRecord = () => {
  let startMs = performance.now()
  const counts = newCounts()
  const notes: string[] = []
  const newest = new Map<Held, Issued>()
  const revoked = new Set<Issued>()
  const revocations: Revocation[] = []
  const alreadyNoted = new Set<string>()
  let lastServedMs = startMs

  const note = (text: string) => {
    notes.push(`${((performance.now() - startMs) / 1000).toFixed(1)} s: ${text}`)
  }
  const wrong = (what: Wrong | 'unexpected', text: string) => {
    counts[what] += 1
    note(`${what}: ${text}`)
  }
  /** Of the many looks at one token the first that went wrong is enough. */
  const wrongOnce = (what: Wrong, key: string, text: string) => {
    if (alreadyNoted.has(`${what} ${key}`)) return
    alreadyNoted.add(`${what} ${key}`)
    wrong(what, text)
  }
  const isDeadSince = ({ committedMs = Infinity, held }: Issued): number =>
    Math.min(committedMs, held.committedMs ?? Infinity)

  return {
    counts,
    notes,
    note,
    wrong,
    wrongOnce,
    revocations,
    /** What happened while people arrived is no part of the trial. */
    begin: () => {
      startMs = performance.now()
      lastServedMs = startMs
      counts.retries = 0
    },
    elapsedSeconds: () => (performance.now() - startMs) / 1000,
    add: (what: Exclude<keyof Counts, Wrong>) => {
      counts[what] += 1
    },
    /** A person got what was due at `dueMs`. */
    served: (dueMs: number) => {
      const nowMs = performance.now()
      counts.refreshes += 1
      counts.longestGapMs = Math.max(counts.longestGapMs, nowMs - lastServedMs)
      counts.longestWaitMs = Math.max(counts.longestWaitMs, nowMs - dueMs)
      lastServedMs = nowMs
    },
    issued: (held: Held, token: string) => {
      const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
      newest.set(held, {
        token,
        jti,
        held,
        isAsked: false,
        committedMs: undefined,
        acceptedBy: new Set(),
        refusedBy: new Set(),
      })
    },
    newestOf: (held: Held): Issued | undefined => newest.get(held),
    /** Nobody uses the session any more. What was revoked goes on being looked at. */
    isOver: (held: Held) => {
      held.isOver = true
      const token = newest.get(held)
      newest.delete(held)
      if (token && held.isAsked) revoked.add(token)
    },
    revoked: (): readonly Issued[] => [...revoked],
    revokeEverything: (token: Issued) => {
      revoked.add(token)
    },
    watched: (): readonly Issued[] => [...newest.values(), ...revoked],
    committed: (revocation: Revocation, what: Revocable) => {
      what.committedMs = performance.now()
      revocations.push(revocation)
      counts.revocations += 1
    },
    /** Somebody who was asked at `askedMs` accepted the token. */
    accepted: (token: Issued, by: string, askedMs: number) => {
      token.acceptedBy.add(by)
      const lateMs = askedMs - isDeadSince(token) - boundMs
      if (lateMs <= 0) return
      const text = `${by} accepted a token of ${token.held.person} ${Math.round(lateMs + boundMs)} ms after its revocation`
      wrongOnce('deadAccepted', `${token.jti} ${by}`, text)
    },
    /** Somebody answered 401. */
    refused: (token: Issued, by: string, why: string) => {
      token.refusedBy.add(by)
      if (token.isAsked || token.held.isAsked || token.held.isOver) return
      const text = `${by} refused a good token of ${token.held.person}: ${why}`
      wrongOnce('goodRefused', token.held.sid, text)
    },
  }
}
