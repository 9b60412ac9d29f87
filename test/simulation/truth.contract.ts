import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { newId } from '../../src/lib/machine.ts'
import type { RotationAttempt } from '../../src/refresh/index.ts'
import type { FeedCursor } from '../../src/revocation/feed-cursor.ts'
import type { RevocationTarget } from '../../src/revocation/index.ts'
import type { SessionState } from '../../src/sessions/session.ts'
import type { NewSession } from '../../src/sessions/session-store.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { type Dice, diceOf } from './dice.ts'
import type { SimulatedStores, Truth, Watcher } from './truth.ts'

/**
 * Walks through the same acts on any truth and writes down what it answered, in words that do not depend on how it numbers its
 * transactions: the model is right as long as it gives the same account of them as Postgres.
 */

const straight = { there: async () => undefined, back: async () => undefined, cut: () => undefined }

const blind: Watcher = {
  looks: () => undefined,
  looked: () => undefined,
  did: () => undefined,
  committing: () => undefined,
  committed: () => undefined,
}

/** A transaction that is open until it is told how to end. */
type Open = {
  readonly stores: SimulatedStores
  readonly commit: () => Promise<void>
  readonly rollBack: () => Promise<void>
}

class RolledBack extends Error {}

const ignoreRollBack = (error: unknown): void => {
  if (!(error instanceof RolledBack)) throw error
}

const openTransaction = (truth: Truth, clock: FakeClock): Promise<Open> => {
  const { inTransaction } = truth.forOperation(straight, clock, blind)
  return new Promise((begun, failed) => {
    const whole = inTransaction(
      (stores) =>
        new Promise<void>((commit, rollBack) => {
          const finish = (how: () => void) => async (): Promise<void> => {
            how()
            await whole
          }
          begun({
            stores,
            commit: finish(commit),
            rollBack: finish(() => rollBack(new RolledBack())),
          })
        }),
    ).catch(ignoreRollBack)
    whole.catch(failed)
  })
}

export type Walk = { readonly truth: Truth; readonly clock: FakeClock; readonly dice: Dice }

export const startWalk = (truth: Truth, seed: number): Walk => ({
  truth,
  // Not the time of this machine: both walks begin at the same moment.
  clock: fakeClock(Date.UTC(2020, 0, 1)),
  dice: diceOf(seed),
})

const namesOf = (entries: Iterable<RevocationEntry>): string[] =>
  [...entries].map(({ kind, key, minEpoch, notAfter }) => `${kind} ${key} ${minEpoch} ${notAfter}`)

const fromTheStart: FeedCursor = { running: [], next: 0n }

const append = ({ stores }: Open, target: RevocationTarget) =>
  stores.revocations.append({ target, actor: 'system', reason: 'revoked' })

/** Transactions that are open at once, also in other databases, end in any order, and are read around. */
export const walkTheLog = async ({ truth, clock, dice }: Walk, steps: number) => {
  const log = truth.readLog(clock)
  const told: string[] = []
  const open: Open[] = []
  const elsewhere: (() => Promise<void>)[] = []
  const cursors: FeedCursor[] = [fromTheStart]
  const follower = { cursor: fromTheStart, has: new Set<string>() }
  const namesSince = async (from: FeedCursor) => {
    const { rows, cursor } = await log.changes(from)
    cursors.push(cursor)
    return rows === 'too_many' ? [rows] : namesOf(rows.map(({ entry }) => entry)).sort()
  }
  const read = async () => {
    const names = await namesSince(dice.pick(cursors) ?? fromTheStart)
    told.push(`changes: ${names.join(', ')}`)
  }
  /** From cursor to cursor each entry comes once, whatever else is open. */
  const readOn = async () => {
    const names = await namesSince(follower.cursor)
    follower.cursor = cursors.at(-1) ?? fromTheStart
    told.push(`next: ${names.join(', ')}`)
    for (const name of names) {
      if (follower.has.has(name)) throw new Error(`${name} comes again`)
      follower.has.add(name)
    }
  }
  const end = async (how: 'commit' | 'rollBack') => {
    const [transaction] = open.splice(dice.next(open.length), 1)
    await transaction?.[how]()
  }
  const acts = [
    async () => {
      const transaction = await openTransaction(truth, clock)
      await append(transaction, { kind: 'sid', key: newId(dice.bytes) })
      open.push(transaction)
    },
    async () => {
      const transaction = dice.pick(open)
      if (transaction) await append(transaction, { kind: 'jti', key: newId(dice.bytes) })
    },
    () => end('commit'),
    () => end('rollBack'),
    read,
    readOn,
    readOn,
    async () => void elsewhere.push(await truth.writeElsewhere()),
    async () => elsewhere.splice(dice.next(elsewhere.length), 1)[0]?.(),
    async () => {
      const { entries } = await log.snapshot()
      told.push(`snapshot: ${namesOf(entries).sort().join(', ')}`)
    },
    async () => clock.advance(dice.between(0, 8_000)),
    async () => truth.dropEnded(clock),
  ]
  for (let step = 0; step < steps; step += 1) await dice.pick(acts)?.()
  while (open.length > 0) await end('commit')
  await read()
  await readOn()
  for (const leave of elsewhere) await leave()
  return told
}

const rotationOf = (
  { clock, dice }: Walk,
  sessionId: string,
  generation: number,
): RotationAttempt => ({
  sessionId,
  secretDigest: Buffer.alloc(32, dice.perMille(50) ? 2 : 1),
  // Mostly the right one.
  generation: Math.max(0, generation + (dice.perMille(200) ? dice.between(-1, 2) : 0)),
  delivery: dice.perMille(50) ? 'cookie' : 'body',
  nowMs: clock.nowMs(),
  idleExpiresAtMs: clock.nowMs() + dice.between(1, 3_600_000),
})

const newSession = ({ clock, dice }: Walk, accountId: string): NewSession => ({
  ...{ accountId, sessionId: newId(dice.bytes), secretDigest: Buffer.alloc(32, 1) },
  ...{
    kind: 'token',
    delivery: 'body',
    clientId: 'first-party',
    audience: 'https://api.example.com',
    namedAudiences: [],
    persists: true,
  },
  ...{ scope: 'account', amr: ['pwd'], acr: 'aal1', userAgent: '', address: '192.0.2.1' },
  authenticatedAtMs: clock.nowMs(),
  idleExpiresAtMs: clock.nowMs() + 3_600_000,
  absoluteExpiresAtMs: clock.nowMs() + 7_200_000,
})

/** What a use case looks at. */
const told = (facts: Partial<SessionState> | undefined): string =>
  facts
    ? JSON.stringify([
        ...[facts.sessionId, facts.accountId, facts.generation, facts.idleExpiresAtMs],
        ...[facts.roles, facts.claimsEpoch, facts.globalEpoch, facts.accountEpoch],
        ...[facts.ended, facts.accountIsActive, facts.epochHasRisen, facts.lastUsedAtMs],
      ])
    : 'none'

type Known = { readonly sessionId: string; readonly accountId: string; generation: number }

/** What sessions and accounts can go through, one thing after the other. */
const sessionActs = (walk: Walk, stores: SimulatedStores, known: Known[]) => {
  const { clock, dice } = walk
  const accountId = dice.pick(walkedAccounts) ?? ''
  const nowMs = clock.nowMs()
  const { sessions, rotations, accounts } = stores
  const one = dice.pick(known)
  const move = async (how: 'rotate' | 'recover') => {
    if (!one) return 'nobody'
    const facts = await rotations[how](rotationOf(walk, one.sessionId, one.generation))
    one.generation = facts?.generation ?? one.generation
    return told(facts)
  }
  const change = async (status: 'active' | 'disabled') => {
    const roles = [`role-${dice.next(3)}`]
    const flags = { raisesClaimsEpoch: dice.perMille(500), clearsFailedLogins: false }
    const account = await accounts.change({ accountId, status, roles, ...flags, nowMs })
    return `${account?.status} ${account?.roles}`
  }
  return [
    async () => {
      const session = newSession(walk, accountId)
      const added = await sessions.add(session)
      if (added) known.push({ ...added.facts })
      return `${told(added?.facts)} ${added?.others}`
    },
    () => move('rotate'),
    () => move('rotate'),
    () => move('recover'),
    async () => (one ? told(await sessions.find(one.sessionId, Buffer.alloc(32, 1))) : 'nobody'),
    async () => (one ? JSON.stringify(await sessions.end(one.sessionId, 'logout', nowMs)) : ''),
    async () => String((await sessions.endAllOfAccount(accountId, 'revoked', nowMs)).sort()),
    async () => String(await accounts.raiseEpoch(accountId, nowMs)),
    async () => (dice.perMille(200) ? String(await accounts.raiseGlobalEpoch(nowMs)) : ''),
    () => change(dice.perMille(300) ? 'disabled' : 'active'),
    async () => {
      clock.advance(dice.between(0, 600_000))
      return 'later'
    },
  ]
}

const walkedAccounts = [
  'AAAAAAAAAAAAAAAAAAAAAA',
  'BBBBBBBBBBBBBBBBBBBBBA',
  'CCCCCCCCCCCCCCCCCCCCCA',
]

/** Above what a clock can give, so that every walk begins with the same global epoch. */
const farAheadMs = Date.UTC(2100, 0, 1)

export const walkTheSessions = async (walk: Walk, steps: number): Promise<string[]> => {
  const { truth, clock, dice } = walk
  const { inTransaction } = truth.forOperation(straight, clock, blind)
  for (const accountId of walkedAccounts) await truth.addAccount(accountId)
  await inTransaction(({ accounts }) => accounts.raiseGlobalEpoch(farAheadMs))
  const known: Known[] = []
  const answers: string[] = []
  for (let step = 0; step < steps; step += 1) {
    const run = async (stores: SimulatedStores) => {
      const answer = await dice.pick(sessionActs(walk, stores, known))?.()
      answers.push(answer ?? '')
      if (dice.perMille(50)) throw new RolledBack()
    }
    await inTransaction(run).catch(ignoreRollBack)
  }
  return answers
}
