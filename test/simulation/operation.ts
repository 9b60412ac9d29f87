import { decodeJwt, decodeProtectedHeader } from 'jose'
import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { type MintAccessToken, mintAccessToken } from '../../src/tokens/mint-access-token.ts'
import { checkAct, checkLate } from './checks.ts'
import type { ServiceInstance } from './instance.ts'
import { type Line, openLine } from './line.ts'
import { type Act, boundMs, type Meaning, type Reading, type SessionRecord } from './oracle.ts'
import type { OperationStores, Watcher } from './truth.ts'
import { accessTokenSeconds, issuer, type World } from './world.ts'

/** One request that an instance is busy with. */
export type Operation = OperationStores & {
  readonly mint: MintAccessToken
  /** The moment at which it began. */
  readonly asked: number
  /** What it did, once that is committed. */
  readonly act: () => Act | undefined
  /** The session that it opened. */
  readonly session: () => SessionRecord | undefined
  /** To be called when the request is answered, or failed. */
  readonly end: () => void
}

export type OperationOptions = {
  readonly instance: ServiceInstance
  readonly name: string
  /** What a commit means, in an operation that is there to take something back. */
  readonly meaning?: (asked: number) => Meaning
  /** For the operator who works while nobody is let in. */
  readonly ignoresOutage?: boolean
  readonly isSlow?: boolean
}

/** Calls whose answer has everything that a token is made from. */
const factsFrom = new Set([
  'sessions.add',
  'rotations.rotate',
  'rotations.recover',
  'sessions.find',
])

const argumentOf = <T>(args: readonly unknown[]): T => args[0] as T

/** Notes what happens in the database, at the moment it does. */
const watch = (world: World, { meaning, name }: OperationOptions, asked: number) => {
  const { oracle, timeline, deeds } = world
  const appended: RevocationEntry[] = []
  let from = asked
  let to = asked
  let committing = asked
  let facts: Reading | undefined
  let session: SessionRecord | undefined
  let endedId: string | undefined
  let act: Act | undefined
  const meaningOfCommit = (): Meaning | undefined => {
    if (meaning) return meaning(asked)
    return endedId === undefined ? undefined : { kind: 'session', sessionId: endedId }
  }
  const watcher: Watcher = {
    looks: () => {
      from = oracle.moment()
    },
    looked: () => {
      to = oracle.moment()
    },
    did: (method, args, result) => {
      const reading = { from, to }
      if (result && factsFrom.has(method)) facts = reading
      if (method === 'sessions.end' && result) endedId = argumentOf<string>(args)
      if (method !== 'sessions.add' || !result) return
      const { sessionId, accountId } = argumentOf<{ sessionId: string; accountId: string }>(args)
      session = { sessionId, accountId, logIn: reading, committed: undefined, isLost: false }
      oracle.loggedIn(session)
    },
    committing: () => {
      committing = oracle.moment()
    },
    committed: (mark, entries) => {
      appended.push(...entries)
      if (session) session.committed ??= oracle.moment()
      const means = meaningOfCommit()
      if (means && !act) {
        const committed = oracle.committed(means, committing, timeline.nowMs())
        act = committed
        timeline.note(`committed: ${JSON.stringify(means)}`)
        timeline.after(boundMs, `${name}: the bound`, () => checkAct(world, committed))
      }
      deeds.set(mark, { ...(act && { act }), ...(session && { session }) })
    },
  }
  return {
    watcher,
    appended,
    facts: () => facts,
    session: () => session,
    act: () => act,
  }
}

/** Reads what was minted with a library, as anybody would who gets it. */
const recordToken = (world: World, text: string, facts: Reading | undefined): void => {
  const claims = decodeJwt<{ sid: string; aep: [number, number, number] }>(text)
  const { jti = '', sub = '', sid, aep, iat = 0, exp = 0 } = claims
  const session = world.oracle.session(sid)
  if (!session || !facts) throw new Error('a token without a login')
  world.timeline.note(`minted ${jti} of session ${sid}, account ${sub}, aep ${aep.join(' ')}`)
  const token = {
    ...{ jti, sub, sid, aep, session, text },
    kid: decodeProtectedHeader(text).kid ?? '',
    issuedAtMs: iat * 1000,
    expiresAtMs: exp * 1000,
    roles: facts,
  }
  world.oracle.minted(token)
  checkLate(world, token)
}

const lineOf = (
  world: World,
  { instance, ignoresOutage = false, isSlow = false }: OperationOptions,
): Line =>
  openLine({
    ...world,
    process: instance.process,
    isDatabaseAway: () => !ignoresOutage && world.timeline.nowMs() < world.databaseBackAtMs,
    lostPerMille: ignoresOutage ? 0 : 4,
    isSlow,
  })

export const openOperation = (world: World, options: OperationOptions): Operation => {
  const { instance } = options
  const asked = world.oracle.moment()
  const line = lineOf(world, options)
  instance.lines.add(line)
  const calledOff = options.meaning && world.oracle.attempted(options.meaning(asked))
  const { watcher, appended, facts, session, act } = watch(world, options, asked)
  const { stores, inTransaction } = world.truth.forOperation(line, instance.clock, watcher)
  const mint = mintAccessToken({
    signer: world.signer,
    issuer,
    accessTokenSeconds,
    clock: instance.clock,
    random: world.dice.bytes,
  })
  return {
    stores,
    // As `core.ts` does it: what was revoked is published after the commit.
    inTransaction: async (work) => {
      const result = await inTransaction(work)
      instance.spread(appended.splice(0))
      return result
    },
    mint: (subject) => {
      const minted = mint(subject)
      recordToken(world, minted.token, facts())
      return minted
    },
    asked,
    act,
    session,
    end: () => {
      instance.lines.delete(line)
      calledOff?.()
    },
  }
}
