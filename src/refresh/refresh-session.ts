import type { RequestFacts } from '../audit/index.ts'
import { callerGone, hasCallerLeft } from '../lib/caller-presence.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Revocations } from '../revocation/index.ts'
import {
  accountScope,
  adminScope,
  audienceToday,
  type Delivery,
  type EndReason,
  endSession,
  type Issued,
  type IssueTokens,
  isServed,
  issueTokens,
  latestExpiryMs,
  type SessionFacts,
  type SessionSettings,
  type SessionStore,
  type SessionStores,
  sessionSecretDigest as secretDigest,
  sessionErrors,
} from '../sessions/index.ts'
import {
  decideRefresh,
  type RefreshDecision,
  type RefreshRules,
  type RequestedGrant,
} from './decide-refresh.ts'
import type { RotationAttempt, RotationStore } from './rotation-store.ts'

/** The stores of a refresh that did not rotate at once, used in one transaction. */
export type RefreshStores = SessionStores & { readonly rotations: RotationStore }

export type ExplainRotationDeps = {
  readonly sessions: Pick<SessionStore, 'find'>
  readonly rotations: Pick<RotationStore, 'prolong' | 'resume'>
  readonly inTransaction: InTransaction<RefreshStores>
  readonly rules: RefreshRules
  /** Whether the account may still add to the audit trail, which all accounts share. */
  readonly mayRecord: (spender: {
    readonly subjectId: string
    readonly sessionId: string
  }) => Promise<boolean>
}

/** Why a refresh issues no tokens, and whether to clear the client's cookie. */
export type Refused = {
  readonly kind: 'refused'
  readonly error: Error
  readonly clearsCookie: boolean
}

export type Finding =
  /** Tokens for the session in this state. */
  | { readonly kind: 'granted'; readonly facts: SessionFacts }
  | Refused
  /** The session changed in between. Try the handle again. */
  | { readonly kind: 'changed' }

/** This service did not issue the handle, or not for this use. */
const unknownHandle = (): Refused => ({
  kind: 'refused',
  error: sessionErrors.error('invalid_refresh_token'),
  clearsCookie: false,
})

const refusal = (reason: EndReason, clearsCookie: boolean): Refused => ({
  kind: 'refused',
  error: sessionErrors.error('session_ended', { reason }),
  clearsCookie,
})

const actor = { kind: 'system' } as const

/** Moves a session to another generation by one of the unusual paths, and records it. */
const moveOn = async (
  { inTransaction }: ExplainRotationDeps,
  event: 'generation_recovered' | 'refresh_response_lost',
  client: RequestFacts,
  move: (rotations: RotationStore) => Promise<SessionFacts | undefined>,
): Promise<Finding> => {
  const facts = await inTransaction(async ({ rotations, audit }) => {
    const moved = await move(rotations)
    if (!moved) return undefined
    const { accountId, sessionId } = moved
    await audit.record({ event, outcome: 'success', actor, accountId, sessionId, client })
    return moved
  })
  return facts ? { kind: 'granted', facts } : { kind: 'changed' }
}

/**
 * Records the first lost response of each presented handle while the account has a budget for it. A client that loses many responses, or
 * pretends to, must neither be rejected nor fill the audit trail.
 */
const resume = async (
  deps: ExplainRotationDeps,
  rotation: RotationAttempt,
  { issuedGeneration, accountId }: Extract<RefreshDecision, { kind: 'resume' }>,
  client: RequestFacts,
): Promise<Finding> => {
  // A further handle would replace one that its holder may have received.
  if (await hasCallerLeft(client)) throw callerGone()
  const graceBeganByMs = rotation.nowMs - deps.rules.graceMs
  const isFirst = issuedGeneration - rotation.generation === 1
  const { sessionId } = rotation
  if (isFirst && (await deps.mayRecord({ subjectId: accountId, sessionId }))) {
    return moveOn(deps, 'refresh_response_lost', client, (rotations) =>
      rotations.resume(rotation, issuedGeneration, graceBeganByMs),
    )
  }
  const facts = await deps.rotations.resume(rotation, issuedGeneration, graceBeganByMs)
  return facts ? { kind: 'granted', facts } : { kind: 'changed' }
}

/** Ends the session of the presented handle, and records it. */
const endRefused = async (
  { inTransaction }: Pick<ExplainRotationDeps, 'inTransaction'>,
  {
    reason,
    clearsCookie,
  }: Pick<Extract<RefreshDecision, { kind: 'end' }>, 'reason' | 'clearsCookie'>,
  { sessionId, nowMs }: Pick<RotationAttempt, 'sessionId' | 'nowMs'>,
  client: RequestFacts,
): Promise<Refused> => {
  // A stalled process handles requests whose callers left long ago, and then an old handle is no sign of theft. A thief waits for the
  // response. So a request whose caller has disconnected ends nothing and writes nothing.
  if (await hasCallerLeft(client)) throw callerGone()
  await inTransaction((stores) => endSession(stores, { sessionId, reason, nowMs, actor, client }))
  return refusal(reason, clearsCookie)
}

/**
 * Finds out why a handle did not rotate its session, and acts on it.
 * @param assertInTime throws when the request has waited too long to decide about its session
 * @throws invalid_target, invalid_scope, store_unavailable, and what `assertInTime` throws
 */
const explainFailedRotation =
  (deps: ExplainRotationDeps) =>
  async (
    rotation: RotationAttempt,
    client: RequestFacts,
    assertInTime: () => void,
  ): Promise<Finding> => {
    const state = await deps.sessions.find(rotation.sessionId, rotation.secretDigest)
    assertInTime()
    const decision = decideRefresh(state, rotation, rotation.nowMs, deps.rules)
    switch (decision.kind) {
      case 'unknown':
        return unknownHandle()
      case 'repeat':
        return { kind: 'granted', facts: decision.facts }
      case 'prolong': {
        const facts = await deps.rotations.prolong(rotation, decision.issuedGeneration)
        return facts ? { kind: 'granted', facts } : { kind: 'changed' }
      }
      case 'rotate':
        return { kind: 'changed' }
      case 'recover':
        return moveOn(deps, 'generation_recovered', client, (rotations) =>
          rotations.recover(rotation),
        )
      case 'resume':
        return resume(deps, rotation, decision, client)
      case 'refuse':
        return refusal(decision.reason, decision.clearsCookie)
      case 'not_granted':
        throw sessionErrors.error(decision.code)
      case 'end':
        return endRefused(deps, decision, rotation, client)
    }
  }

export type RefreshDeps = IssueTokens &
  ExplainRotationDeps & {
    readonly settings: SessionSettings
    readonly rotations: Pick<RotationStore, 'rotate' | 'prolong' | 'resume'>
    readonly idleSeconds: number
    /** The revocations this process knows. A fail-over may have lost the commit of a logout that was already published. */
    readonly isRevoked: (facts: SessionFacts) => boolean
  }

const never = Number.MAX_SAFE_INTEGER

/** Whether this process knows that the session was revoked. Changed roles end no session. */
export const isRevokedBy = ({
  revokedBy,
}: Pick<Revocations['replica'], 'revokedBy'>): RefreshDeps['isRevoked'] =>
  function isRevoked({ accountId: sub, sessionId: sid, globalEpoch, accountEpoch }) {
    return (
      revokedBy({ sub, sid, jti: '', kid: '', aep: [globalEpoch, accountEpoch, never] }) !==
      undefined
    )
  }

export type RefreshInput = {
  /** The handle as presented. */
  readonly presented: string
  readonly delivery: Delivery
  /** Undefined: a token as at login. */
  readonly requested?: RequestedGrant
  readonly client: RequestFacts
}

export type RefreshResult = { readonly kind: 'issued'; readonly issued: Issued } | Refused

/**
 * Refuses what no session may get, before any store is asked.
 * @throws invalid_target, invalid_scope
 */
const assertPossible = (
  { audience, scopes = [] }: RequestedGrant,
  settings: SessionSettings,
): void => {
  if (audience !== undefined && !isServed(audience, settings)) {
    throw sessionErrors.error('invalid_target')
  }
  const isKnown = (scope: string) => scope === accountScope || scope === adminScope
  if (!scopes.every(isKnown)) throw sessionErrors.error('invalid_scope')
}

/** How often a handle is tried whose session changed in between. A race can do that once. */
const attempts = 3

/**
 * The part of the grace period that a refresh may take from its request to its response. A handle is only issued in the first half of its
 * grace period. A request that waited longer than the second half neither issues a further handle nor ends a session. So a request that is
 * too late for the grace period arrived after the response to the others, and two tabs never end with different successors.
 */
const shareOfGrace = 1 / 2

type Presented = Pick<RefreshInput, 'client'> & {
  readonly rotation: RotationAttempt
  readonly secret: Buffer
}

/**
 * Issues credentials for a session that its row allows to continue, unless this process knows that it was revoked, or the current settings
 * end it.
 */
const respondWith = (deps: RefreshDeps) =>
  async function respond(
    facts: SessionFacts,
    { rotation, secret, client }: Presented,
    isNewest: boolean,
  ): Promise<RefreshResult> {
    const { settings } = deps
    const { nowMs, requested } = rotation
    const end = (reason: EndReason) =>
      endRefused(deps, { reason, clearsCookie: isNewest }, rotation, client)
    if (deps.isRevoked(facts)) return refusal('revoked', isNewest)
    if (latestExpiryMs(facts.authenticatedAtMs, facts.persists, settings) <= nowMs) {
      return end('absolute_expired')
    }
    const audience = requested?.audience ?? audienceToday(facts, settings)
    if (audience === undefined) return end('audience_removed')
    const grant = { audience, scopes: requested?.scopes, factsReadAtMs: nowMs }
    return { kind: 'issued', issued: issueTokens(deps, facts, secret, grant) }
  }

/**
 * Exchanges a refresh token for its successor and a new access token. The usual case is one statement in one round trip. Only when it
 * changes nothing, a second read finds out why.
 * @throws invalid_target, invalid_scope, session_contended: nothing is consumed; refresh_delayed, store_unavailable: the handle may be
 * consumed, and a retry gets a successor
 */
export const refreshSession = (deps: RefreshDeps) => {
  const { clock, codec, rotations, idleSeconds, rules, settings } = deps
  const investigate = explainFailedRotation(deps)
  const respond = respondWith(deps)
  const mayTakeMs = rules.graceMs > 0 ? rules.graceMs * shareOfGrace : Number.POSITIVE_INFINITY

  return async function refresh(input: RefreshInput): Promise<RefreshResult> {
    const { presented, delivery, client, requested = {} } = input
    assertPossible(requested, settings)
    const handle = codec.read(presented)
    if (!handle) return unknownHandle()
    const { sessionId, generation, secret } = handle
    const nowMs = clock.nowMs()
    const beganMs = clock.monotonicMs() - (client.waitedMs?.() ?? 0)
    const assertInTime = (): void => {
      if (clock.monotonicMs() - beganMs <= mayTakeMs) return
      throw sessionErrors.error('refresh_delayed', { retryAfterSeconds: 1 })
    }
    const rotation: RotationAttempt = {
      sessionId,
      generation,
      secretDigest: secretDigest(secret),
      delivery,
      requested,
      nowMs,
      idleExpiresAtMs: nowMs + idleSeconds * 1000,
    }
    const given = { rotation, secret, client }
    assertInTime()
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const rotated = await rotations.rotate(rotation)
      assertInTime()
      if (rotated) return respond(rotated, given, true)
      const finding = await investigate(rotation, client, assertInTime)
      if (finding.kind === 'refused') return finding
      if (finding.kind === 'granted') {
        assertInTime()
        return respond(finding.facts, given, false)
      }
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }
}

export type RefreshSession = ReturnType<typeof refreshSession>
