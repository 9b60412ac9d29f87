import { changeAccount } from '../../src/accounts/index.ts'
import { type RevokeTarget, revoke } from '../../src/admin/revoke.ts'
import { keyLabels, type SigningKeyTransaction, secretRing } from '../../src/keys/index.ts'
import { AppError } from '../../src/lib/app-error.ts'
import { refreshSession } from '../../src/refresh/index.ts'
import {
  endOwnSessions,
  handleCodec,
  issueTokens,
  logOut,
  openSession,
} from '../../src/sessions/index.ts'
import { checkTokens } from './checks.ts'
import type { ServiceInstance } from './instance.ts'
import { type Operation, type OperationOptions, openOperation } from './operation.ts'
import { boundMs, type Meaning } from './oracle.ts'
import { noOwnedClients } from './truth.ts'
import { type Client, count, issuer, Violation, type World } from './world.ts'

const codec = handleCodec(
  secretRing(['a secret of the simulation, long enough']).derive(keyLabels.refreshHandle),
)

const operator = { kind: 'command-line' } as const
const client = { address: '192.0.2.1', userAgent: 'simulated', requestId: 'none' }

const rules = { graceMs: 10_000, lostResponse: 'resume' } as const
/** With a grace this long a refresh may take so long that its token is signed late. */
const longGrace = { ...rules, graceMs: 600_000 }
const idleSeconds = 14 * 24 * 3600
const absoluteSeconds = 30 * 24 * 3600
const limits = { idleSeconds, absoluteSeconds, browserSeconds: absoluteSeconds, perAccount: 1_000 }
const settings = {
  ...{ issuer, audiences: [issuer] },
  ...{ sessionAbsoluteSeconds: absoluteSeconds, browserSessionSeconds: absoluteSeconds },
}

const mostClients = 40

/** Runs one request to its end, beside everything else. Never rejects. */
const request = async (
  world: World,
  options: Omit<OperationOptions, 'instance'> & { readonly instance?: ServiceInstance },
  work: (operation: Operation, instance: ServiceInstance) => Promise<void>,
): Promise<void> => {
  const instance = options.instance ?? world.dice.pick(world.instances)
  if (!instance || instance.isStopped) return
  count(world, options.name)
  world.timeline.note(`${instance.name}: ${options.name}`)
  const operation = openOperation(world, { ...options, instance })
  try {
    await work(operation, instance)
  } catch (error) {
    // A refusal and a store that is away are answers; anything else has no business to happen.
    if (!(error instanceof AppError)) world.failure ??= error
  } finally {
    operation.end()
  }
}

const logIn = (world: World): Promise<void> => {
  const accountId = world.dice.pick(world.accounts) ?? ''
  return request(world, { name: 'log in' }, async (operation, { clock }) => {
    const open = openSession(world.dice.bytes, limits)
    const opened = await operation.inTransaction(async (stores) => {
      await stores.accounts.lock(accountId)
      return open(stores, {
        ...{ accountId, client, clientId: 'first-party', audience: issuer, scope: 'account' },
        ...{ kind: 'token', delivery: 'body', amr: ['pwd'], acr: 'aal1', nowMs: clock.nowMs() },
        ...{ persists: true, namedAudiences: [] },
      })
    })
    const session = operation.session()
    if (!opened || !session) return
    if (session.committed === undefined) throw new Violation('I1: logged in before the commit')
    const { facts, secret } = opened
    const grant = { audience: issuer, factsReadAtMs: facts.authenticatedAtMs }
    const deps = { ...operation, clock, codec, settings }
    const { refreshToken } = issueTokens(deps, facts, secret, grant)
    const loggedIn = { session, handle: refreshToken, olderHandle: undefined }
    world.clients.push({ ...loggedIn, underWay: 0, isBehind: false })
    if (world.clients.length > mostClients) world.clients.shift()
  })
}

/** I10, and that nobody is logged out whose session nothing has ended. */
const checkRefresh = (
  world: World,
  { session, isBehind, underWay }: Client,
  operation: Operation,
  wasIssued: boolean,
): void => {
  const ended = world.oracle.endedBefore(session, operation.asked)
  if (ended) count(world, 'refresh of an ended session')
  if (wasIssued && ended) {
    throw new Violation(`I10: session ${session.sessionId} goes on after ${JSON.stringify(ended)}`)
  }
  const isAlone = underWay === 1 && !isBehind
  const isInnocent =
    isAlone && !session.isLost && !world.oracle.mayHaveEnded(session, world.timeline.nowMs())
  if (isInnocent && !wasIssued) {
    throw new Violation(`I6: session ${session.sessionId} is refused, which nothing ended`)
  }
}

const never = Number.MAX_SAFE_INTEGER

/** Mostly somebody who is refused logs in anew, and nobody tries the dead handle again. */
const leaveBehind = ({ clients }: World, who: Client): void => {
  const place = clients.indexOf(who)
  if (place >= 0) clients.splice(place, 1)
}

const refreshAs = async (world: World, who: Client, isSlow = false): Promise<void> => {
  const { dice } = world
  const asksReplica = dice.perMille(300)
  const isReplay = who.olderHandle !== undefined && dice.perMille(80)
  const presented = (isReplay && who.olderHandle) || who.handle
  if (isReplay || who.underWay > 0) who.isBehind = true
  who.underWay += 1
  await request(world, { name: 'refresh', isSlow }, async (operation, { clock, own }) => {
    const use = refreshSession({
      ...operation,
      ...{ clock, codec, settings, idleSeconds, sessions: operation.stores.sessions },
      rotations: operation.stores.rotations,
      rules: isSlow ? longGrace : rules,
      mayRecord: async () => true,
      // Mostly not asked, as by a process that has not heard of the revocation: the statement alone must refuse as well, and a token that
      // is signed late must be over in time. With this question in each refresh a twentieth as many are signed late.
      isRevoked: ({ accountId: sub, sessionId: sid, globalEpoch, accountEpoch }) =>
        asksReplica &&
        own.revokedBy({ sub, sid, jti: '', kid: '', aep: [globalEpoch, accountEpoch, never] }) !==
          undefined,
    })
    const wasBehind = who.isBehind
    // Until the answer is here, the service may have moved on without this client.
    who.isBehind = true
    const result = await use({ presented, delivery: 'body', client })
    checkRefresh(world, { ...who, isBehind: wasBehind }, operation, result.kind === 'issued')
    if (result.kind === 'refused' && dice.perMille(700)) leaveBehind(world, who)
    if (result.kind === 'refused' || isReplay || dice.perMille(20)) return
    who.olderHandle = who.handle
    who.handle = result.issued.refreshToken
    who.isBehind = who.underWay > 1
  })
  who.underWay -= 1
}

const refresh = async (world: World): Promise<void> => {
  const who = world.dice.pick(world.clients)
  if (who) await refreshAs(world, who)
}

const noSigningKeys = new Proxy({} as SigningKeyTransaction, {
  get: () => {
    throw new Error('the simulation keeps its signing keys itself')
  },
})

/** In the simulation every `sub` is an account. */
const noServiceClients = {
  ...noOwnedClients,
  lock: async () => undefined,
  raiseEpoch: async () => 0,
}

/** I1: what was answered with success is committed. */
const checkAnswer = (operation: Operation, what: string): void => {
  if (!operation.act()) throw new Violation(`I1: ${what} was answered before its commit`)
}

/** Returns whether it was done and answered. */
const revokeTarget = async (
  world: World,
  target: RevokeTarget,
  meaning: Meaning,
  options: Partial<OperationOptions> = {},
): Promise<boolean> => {
  const name = `revoke ${target.kind}`
  let isDone = false
  const work = async (operation: Operation, { clock }: ServiceInstance) => {
    const use = revoke({
      clock,
      inTransaction: (act) =>
        operation.inTransaction((stores) =>
          act({ ...stores, signingKeys: noSigningKeys, clients: noServiceClients }),
        ),
      withdrawKey: async () => async () => ({ was: 'active' }),
      onKeyRevoked: async () => undefined,
    })
    const { effectiveByMs } = await use({ target, note: undefined, actor: operator })
    checkAnswer(operation, name)
    const skewMs = clock.nowMs() - world.timeline.nowMs()
    const committedMs = operation.act()?.committedMs ?? 0
    if (effectiveByMs - skewMs < committedMs + boundMs) {
      throw new Violation(`I2: ${name} promises more than the bound`)
    }
    isDone = true
  }
  await request(world, { ...options, name, meaning: () => meaning }, work)
  return isDone
}

const revokeToken = async (world: World): Promise<void> => {
  const token = world.dice.pick([...world.oracle.tokens.values()])
  if (!token) return
  const { jti } = token
  await revokeTarget(world, { kind: 'token', tokenId: jti }, { kind: 'token', jti })
}

const revokeSession = async (world: World): Promise<void> => {
  const sessionId = world.dice.pick(world.clients)?.session.sessionId
  if (sessionId === undefined) return
  await revokeTarget(world, { kind: 'session', sessionId }, { kind: 'session', sessionId })
}

const revokeAccount = (
  world: World,
  accountId = world.dice.pick(world.accounts) ?? '',
): Promise<unknown> =>
  revokeTarget(world, { kind: 'account', accountId }, { kind: 'account', accountId })

export const revokeEveryone = (
  world: World,
  options: Partial<OperationOptions> = {},
): Promise<boolean> => revokeTarget(world, { kind: 'everyone' }, { kind: 'everyone' }, options)

/** Its successor signs from the commit on, or a moment later. */
const revokeKey = async (world: World): Promise<void> => {
  const { kid } = world.signer()
  await revokeTarget(world, { kind: 'key', kid }, { kind: 'key', kid })
  if (world.signer().kid === kid) world.newSigner()
}

/** Everything is ended while somebody who just logged in is refreshed: what is minted late must be as dead as what was there before. */
const revokeWhileRefreshed = async (world: World): Promise<void> => {
  await logIn(world)
  const who = world.clients.at(-1)
  if (!who) return
  const { dice, timeline } = world
  const end = async () => {
    await timeline.pause(dice.between(0, 500), 'and now everything is ended')
    if (dice.perMille(100)) await revokeEveryone(world)
    else await revokeAccount(world, who.session.accountId)
  }
  await Promise.all([refreshAs(world, who, true), end()])
}

type Change = { readonly status?: 'active' | 'disabled'; readonly roles?: readonly string[] }

const change = (
  world: World,
  name: string,
  wanted: Change,
  meaning?: (accountId: string) => Meaning,
): Promise<void> => {
  const accountId = world.dice.pick(world.accounts) ?? ''
  const options = { name, ...(meaning && { meaning: () => meaning(accountId) }) }
  return request(world, options, async (operation, { clock }) => {
    const use = changeAccount({ clock, inTransaction: operation.inTransaction })
    await use({ accountId, ...wanted, actor: operator })
    if (meaning) checkAnswer(operation, name)
  })
}

const changeRoles = (world: World): Promise<void> =>
  change(world, 'change roles', { roles: [`role-${world.dice.next(2 ** 31)}`] }, (accountId) => ({
    kind: 'roles',
    accountId,
  }))

const disable = (world: World): Promise<void> =>
  change(world, 'disable', { status: 'disabled' }, (accountId) => ({ kind: 'account', accountId }))

const enable = (world: World): Promise<void> => change(world, 'enable', { status: 'active' })

const leave = async (world: World): Promise<void> => {
  const session = world.dice.pick(world.clients)?.session
  if (!session) return
  const { accountId, sessionId } = session
  const meaning = (): Meaning => ({ kind: 'session', sessionId })
  await request(world, { name: 'log out', meaning }, (operation, { clock }) =>
    logOut({ clock, inTransaction: operation.inTransaction })({ accountId, sessionId, client }),
  )
}

const leaveEverywhere = async (world: World): Promise<void> => {
  const session = world.dice.pick(world.clients)?.session
  if (!session) return
  const { accountId, sessionId } = session
  const meaning = (asked: number): Meaning => ({ kind: 'sessions', accountId, asked })
  await request(world, { name: 'log out everywhere', meaning }, async (operation, { clock }) => {
    const use = endOwnSessions({ clock, inTransaction: operation.inTransaction })
    await use({ accountId, sessionId, client }, false)
  })
}

/** Tokens of all kinds at every verifier; those that something may have revoked come first. */
const verify = async (world: World): Promise<void> => {
  count(world, 'verify')
  const { dice, oracle, timeline } = world
  const all = [...oracle.tokens.values()]
  const some = Array.from({ length: 12 }, () => dice.pick(all)).filter(
    (token) => token !== undefined,
  )
  const suspects = some.filter((token) => oracle.mayBeRefused(token, timeline.nowMs()))
  checkTokens(world, [...suspects, ...some.slice(0, 4)])
}

/** What people and operators do, and how often in proportion. */
export const acts: readonly (readonly [weight: number, act: (world: World) => Promise<unknown>])[] =
  [
    [300, verify],
    [220, logIn],
    [260, refresh],
    [40, revokeToken],
    [30, revokeSession],
    [8, (world) => revokeAccount(world)],
    [40, revokeWhileRefreshed],
    [1, (world) => revokeEveryone(world)],
    [1, revokeKey],
    [12, changeRoles],
    [4, disable],
    [20, enable],
    [12, leave],
    [4, leaveEverywhere],
  ]
