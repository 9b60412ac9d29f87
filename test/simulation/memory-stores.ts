import type { LoginAccount } from '../../src/accounts/index.ts'
import type { Clock } from '../../src/lib/machine.ts'
import type { RotationAttempt, RotationStore } from '../../src/refresh/index.ts'
import type { SessionStore } from '../../src/sessions/index.ts'
import type { SessionFacts, SessionState } from '../../src/sessions/session.ts'

import {
  type Cell,
  type MemoryPostgres,
  type SessionRow,
  seenBy,
  type Transaction,
} from './memory-postgres.ts'
import { noOwnedClients, type SimulatedStores } from './truth.ts'

/** A statement that no act of the simulation leads to. */
const notModelled = (): never => {
  throw new Error('the model of Postgres does not know this statement')
}

type Within = {
  readonly postgres: MemoryPostgres
  readonly transaction: Transaction
  readonly clock: Clock
  readonly lifetimeMs: (kind: string) => number
}

const globalEpochSeen = ({ postgres, transaction }: Within): number =>
  seenBy(transaction, postgres.instance)?.globalEpoch ?? 0

const accountSeen = ({ postgres, transaction }: Within, accountId: string) =>
  seenBy(transaction, postgres.account(accountId))

type Seen = { readonly accountIsActive: boolean; readonly epochHasRisen: boolean }

/** The account and the instance as they are when a statement begins; waiting for the session's row makes them no newer. */
const surroundings = (within: Within, session: SessionRow) => {
  const account = accountSeen(within, session.accountId)
  const globalEpoch = globalEpochSeen(within)
  return (row: SessionRow): Seen & { roles: readonly string[]; claimsEpoch: number } => ({
    roles: account?.roles ?? [],
    claimsEpoch: account?.claimsEpoch ?? 0,
    accountIsActive: account?.status === 'active',
    epochHasRisen: account?.epoch !== row.accountEpoch || globalEpoch !== row.globalEpoch,
  })
}

const factsOf = (
  sessionId: string,
  row: SessionRow,
  { roles, claimsEpoch }: Pick<SessionFacts, 'roles' | 'claimsEpoch'>,
): SessionFacts => {
  const { secretDigest, delivery, lastUsedAtMs, absoluteExpiresAtMs, endReason, ...facts } = row
  return { ...facts, sessionId, roles, claimsEpoch }
}

const isLive = (row: SessionRow, nowMs: number): boolean =>
  row.endReason === undefined && row.idleExpiresAtMs > nowMs && row.absoluteExpiresAtMs > nowMs

/** An `UPDATE` of one row: looks, waits for the row, looks again, and changes it only if it still fits. */
const update = async <Row>(
  { postgres, transaction }: Within,
  cell: Cell<Row>,
  change: (row: Row) => Row | undefined,
): Promise<Row | undefined> => {
  const seen = seenBy(transaction, cell)
  if (seen === undefined || change(seen) === undefined) return undefined
  const held = await postgres.lock(transaction, cell)
  const changed = held.value && change(held.value)
  if (changed !== undefined) held.value = changed
  return changed
}

const moveOn = async (
  within: Within,
  rotation: RotationAttempt,
  fits: (row: SessionRow) => boolean,
  moved: (row: SessionRow, presented: number) => Partial<SessionRow> = (_row, presented) => ({
    generation: presented + 1,
  }),
): Promise<SessionFacts | undefined> => {
  const { sessionId, secretDigest, delivery, nowMs, generation } = rotation
  const cell = within.postgres.session(sessionId)
  const seen = seenBy(within.transaction, cell)
  if (!seen) return undefined
  const around = surroundings(within, seen)
  const row = await update(within, cell, (now) => {
    const { accountIsActive, epochHasRisen } = around(now)
    const isOurs = now.secretDigest === secretDigest.toString('hex') && now.delivery === delivery
    const isTokenActive = isLive(now, nowMs) && accountIsActive && !epochHasRisen
    if (!isOurs || !isTokenActive || !fits(now)) return undefined
    const idleExpiresAtMs = Math.min(rotation.idleExpiresAtMs, now.absoluteExpiresAtMs)
    return { ...now, ...moved(now, generation), lastUsedAtMs: nowMs, idleExpiresAtMs }
  })
  return row && factsOf(sessionId, row, around(row))
}

const handles = (within: Within): Pick<SessionStore, 'add' | 'find'> => ({
  add: async ({ sessionId, secretDigest, ...session }) => {
    const account = accountSeen(within, session.accountId)
    if (account?.status !== 'active') return undefined
    const { postgres, transaction } = within
    const held = await postgres.lock(transaction, postgres.session(sessionId))
    const row: SessionRow = {
      ...session,
      secretDigest: secretDigest.toString('hex'),
      lastUsedAtMs: session.authenticatedAtMs,
      generation: 0,
      globalEpoch: globalEpochSeen(within),
      accountEpoch: account.epoch,
      endReason: undefined,
    }
    held.value = row
    const cells = postgres
      .sessionsOf(session.accountId)
      .map(([, cell]) => seenBy(transaction, cell))
    const others = cells.filter((seen) => seen && seen !== row && !seen.endReason).length
    return { facts: factsOf(sessionId, row, account), others }
  },
  find: async (sessionId, secretDigest) => {
    const row = seenBy(within.transaction, within.postgres.session(sessionId))
    if (row?.secretDigest !== secretDigest.toString('hex')) return undefined
    const around = surroundings(within, row)(row)
    const ended = row.endReason as SessionState['ended']
    const { generation, lost } = row
    const presentedGeneration = lost?.reissued === generation ? lost.presented : row.generation - 1
    return { ...factsOf(sessionId, row, around), ...row, ...around, presentedGeneration, ended }
  },
})

const rotations = (within: Within): RotationStore => ({
  rotate: (rotation) =>
    moveOn(within, rotation, ({ generation }) => generation === rotation.generation),
  recover: (rotation) =>
    moveOn(within, rotation, ({ generation }) => generation < rotation.generation),
  resume: (rotation, issuedGeneration, graceBeganByMs) =>
    moveOn(
      within,
      rotation,
      ({ generation, lastUsedAtMs }) =>
        generation === issuedGeneration && lastUsedAtMs <= graceBeganByMs,
      ({ generation }, presented) => ({
        generation: generation + 1,
        lost: { presented, reissued: generation + 1 },
      }),
    ),
  prolong: (rotation, issuedGeneration) =>
    moveOn(
      within,
      rotation,
      ({ generation }) => generation === issuedGeneration,
      () => ({}),
    ),
})

const endings = (within: Within): Pick<SessionStore, 'end' | 'endAllOfAccount' | 'exists'> => {
  const ender = (endReason: string, nowMs: number, accountId?: string) => {
    const globalEpoch = globalEpochSeen(within)
    const liveSinceMs = nowMs - within.lifetimeMs('sid')
    const isEndable = (row: SessionRow): boolean =>
      isLive(row, liveSinceMs) &&
      row.globalEpoch === globalEpoch &&
      (accountId ?? row.accountId) === row.accountId
    return (cell: Cell<SessionRow>) =>
      update(within, cell, (row) => (isEndable(row) ? { ...row, endReason } : undefined))
  }
  return {
    exists: async (sessionId) =>
      seenBy(within.transaction, within.postgres.session(sessionId)) !== undefined,
    end: async (sessionId, reason, nowMs, accountId) => {
      const row = await ender(reason, nowMs, accountId)(within.postgres.session(sessionId))
      return row && { accountId: row.accountId }
    },
    endAllOfAccount: async (accountId, reason, nowMs, exceptSessionId) => {
      const ended: string[] = []
      const endOne = ender(reason, nowMs)
      for (const [id, cell] of within.postgres.sessionsOf(accountId)) {
        if (id !== exceptSessionId && (await endOne(cell))) ended.push(id)
      }
      return ended
    },
  }
}

const loginAccountOf = (within: Within, accountId: string): LoginAccount | undefined => {
  const row = accountSeen(within, accountId)
  const rest = { email: '', createdAtMs: 0, updatedAtMs: 0, failedLogins: 0 }
  const globalEpoch = globalEpochSeen(within)
  return (
    row && { ...rest, ...row, globalEpoch, accountId, password: { phc: '', pepperId: undefined } }
  )
}

const accountStore = (within: Within): SimulatedStores['accounts'] => {
  const { postgres, transaction } = within
  return {
    add: notModelled,
    findByEmail: notModelled,
    find: notModelled,
    hasAnyWithRole: notModelled,
    list: notModelled,
    listByEmail: notModelled,
    countFailedLogin: notModelled,
    countDeviceFailure: notModelled,
    dropDeviceFailures: notModelled,
    recordLogin: notModelled,
    setPassword: notModelled,
    lock: async (accountId) => {
      await postgres.lock(transaction, postgres.account(accountId))
      return loginAccountOf(within, accountId)
    },
    change: async ({ accountId, status, roles, raisesClaimsEpoch }) => {
      await update(within, postgres.account(accountId), (row) => ({
        ...row,
        status,
        roles,
        claimsEpoch: row.claimsEpoch + (raisesClaimsEpoch ? 1 : 0),
      }))
      return loginAccountOf(within, accountId) ?? notModelled()
    },
    raiseEpoch: async (accountId) => {
      const row = await update(within, postgres.account(accountId), (now) => ({
        ...now,
        epoch: now.epoch + 1,
      }))
      return row?.epoch ?? notModelled()
    },
    raiseGlobalEpoch: async (nowMs) => {
      const row = await update(within, postgres.instance, ({ globalEpoch }) => ({
        globalEpoch: Math.max(globalEpoch + 1, Math.floor(nowMs / 1000)),
      }))
      return row?.globalEpoch ?? notModelled()
    },
  }
}

/** The stores as the use cases see them, inside one transaction of the model. */
export const memoryStores = (within: Within): SimulatedStores => ({
  accounts: accountStore(within),
  clients: noOwnedClients,
  sessions: {
    ...handles(within),
    ...endings(within),
    // Nobody has that many sessions in the simulation.
    evictBeyond: async () => [],
    listOfAccount: notModelled,
    dropExpired: notModelled,
  },
  rotations: rotations(within),
  revocations: {
    append: async ({ target }) => {
      const notAfterMs = within.clock.nowMs() + within.lifetimeMs(target.kind)
      return within.postgres.append(within.transaction, target, notAfterMs)
    },
    appendMissing: notModelled,
    appendTokenOnce: notModelled,
  },
  audit: { record: async () => undefined },
})
