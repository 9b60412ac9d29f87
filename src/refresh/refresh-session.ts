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

/** What a refresh that is not the usual one reads and writes together. */
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

/** Why a refresh gives no tokens, and whether the client's cookie is to be cleared. */
export type Refused = {
  readonly kind: 'refused'
  readonly error: Error
  readonly clearsCookie: boolean
}

export type Finding =
  /** Tokens for the session as it stands. */
  | { readonly kind: 'granted'; readonly facts: SessionFacts }
  | Refused
  /** The session changed in between: present the handle again. */
  | { readonly kind: 'changed' }

/** A handle that nobody was given here, or not for this use. */
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

/** Moves a session on in a way that is not the usual one, and records that it did. */
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
 * The first lost response of a presented handle is recorded, as long as the account has a budget for it: a client that loses one after the
 * other, or pretends to, must neither be kept out nor fill the audit trail.
 */
const resume = async (
  deps: ExplainRotationDeps,
  rotation: RotationAttempt,
  { issuedGeneration, accountId }: Extract<RefreshDecision, { kind: 'resume' }>,
  client: RequestFacts,
): Promise<Finding> => {
  // Nobody is issued a handle in the place of one that its holder has received.
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

/** Ends the session of a handle that was presented, and records it. */
const endRefused = async (
  { inTransaction }: Pick<ExplainRotationDeps, 'inTransaction'>,
  {
    reason,
    clearsCookie,
  }: Pick<Extract<RefreshDecision, { kind: 'end' }>, 'reason' | 'clearsCookie'>,
  { sessionId, nowMs }: Pick<RotationAttempt, 'sessionId' | 'nowMs'>,
  client: RequestFacts,
): Promise<Refused> => {
  // A process that stood still runs requests whose callers left long ago, and an old handle is no sign of theft then. A thief waits for
  // the response. So nothing is ended or written on the word of somebody who has gone.
  if (await hasCallerLeft(client)) throw callerGone()
  await inTransaction((stores) => endSession(stores, { sessionId, reason, nowMs, actor, client }))
  return refusal(reason, clearsCookie)
}

/**
 * Finds out why a handle did not rotate its session, and does what follows from it.
 * @param assertInTime throws when the request has waited for too long to decide about its session
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
    /** What this process knows of what was revoked: a fail-over may have lost the commit of a logout that others were told of. */
    readonly isRevoked: (facts: SessionFacts) => boolean
  }

const never = Number.MAX_SAFE_INTEGER

/** Whether the session of these facts is dead, by what this process knows. Roles that changed end no session. */
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
  /** The handle as it was presented. */
  readonly presented: string
  readonly delivery: Delivery
  /** Undefined: a token as the session was opened for. */
  readonly requested?: RequestedGrant
  readonly client: RequestFacts
}

export type RefreshResult = { readonly kind: 'issued'; readonly issued: Issued } | Refused

/** @throws invalid_target, invalid_scope for what no session is given, so that nothing is asked of the store */
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

/** How often a handle is presented again whose session changed in between: a race can do that once. */
const attempts = 3

/**
 * How much of the grace a refresh may take, from its request to its response. A handle is only handed out in the first half of its grace,
 * and a request that waited for longer than the second half neither issues a further one nor ends a session. So a request that comes too
 * late for the grace was received after the response of the others, and two tabs never leave with different successors.
 */
const shareOfGrace = 1 / 2

type Presented = Pick<RefreshInput, 'client'> & {
  readonly rotation: RotationAttempt
  readonly secret: Buffer
}

/** Credentials for a session that its row lets go on, unless it is over by what this process knows or by the settings of today. */
const answerWith = (deps: RefreshDeps) =>
  async function answer(
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
 * Turns a refresh token into its successor and a new access token. On the happy path that is one statement and one round trip;
 * only when it changes nothing does a second read find out why.
 * @throws invalid_target, invalid_scope, session_contended, and then nothing is consumed; refresh_delayed and store_unavailable, and then
 * it may be: a retry gets a successor
 */
export const refreshSession = (deps: RefreshDeps) => {
  const { clock, codec, rotations, idleSeconds, rules, settings } = deps
  const investigate = explainFailedRotation(deps)
  const answer = answerWith(deps)
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
      if (rotated) return answer(rotated, given, true)
      const finding = await investigate(rotation, client, assertInTime)
      if (finding.kind === 'refused') return finding
      if (finding.kind === 'granted') {
        assertInTime()
        return answer(finding.facts, given, false)
      }
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }
}

export type RefreshSession = ReturnType<typeof refreshSession>
