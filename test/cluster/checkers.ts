import { setTimeout as pause } from 'node:timers/promises'
import { createVerifier, type Verifier, VerifierError } from '../../packages/verifier/src/index.ts'
import { httpClient } from '../support/service/client.ts'
import { type Cluster, issuer } from './cluster.ts'
import type { Operator } from './operator.ts'
import type { Issued, Record } from './record.ts'

/** Somebody who decides about access tokens: a service with the verifier of the package, or a process of Cardea. */
export type Checker = {
  readonly name: string
  readonly everyMs: number
  /** Of what is watched, that which is to be looked at now. */
  readonly choose: (record: Record) => readonly Issued[]
  /** `accepted`, the code of a 401, or undefined when there is no verdict. */
  readonly check: (token: string) => Promise<string | undefined>
  readonly close: () => Promise<void>
}

const verdict = async (verifier: Verifier, token: string): Promise<string | undefined> => {
  try {
    await verifier.verify(token)
    return 'accepted'
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error
    return error.status === 401 ? error.code : undefined
  }
}

/** With its default policy a verifier that is not FRESH has no verdict. */
const followBalancer = async (
  name: string,
  endpoint: string,
  operator: Operator,
): Promise<Checker> => {
  const client = await operator.createClient(name.replace(' ', '-'))
  const verifier = createVerifier({ issuer, audience: issuer, endpoint, client })
  await verifier.ready(AbortSignal.timeout(60_000))
  return {
    name,
    everyMs: 100,
    choose: (record) => record.watched(),
    check: (token) => verdict(verifier, token),
    close: () => verifier.close(),
  }
}

const askProcess = (name: string, address: string): Checker => {
  const client = httpClient(address)
  return {
    name,
    everyMs: 400,
    choose: (record) => {
      const revoked = record.revoked()
      const chosen = revoked[Math.floor(Math.random() * revoked.length)]
      return chosen ? [chosen] : []
    },
    check: async (token) => {
      const signal = AbortSignal.timeout(5_000)
      const answer = await client.get('/account', { token, signal }).catch(() => undefined)
      if (answer?.status === 200) return 'accepted'
      return answer?.status === 401 ? answer.body?.code : undefined
    },
    close: async () => undefined,
  }
}

/** Three services that follow the feed through a balancer each, and every process of Cardea itself. */
export const openCheckers = async (
  { processes, balancers }: Cluster,
  operator: Operator,
): Promise<Checker[]> => {
  const checkers: Checker[] = []
  for (const [place, address] of balancers.entries()) {
    checkers.push(await followBalancer(`verifier ${place + 1}`, address, operator))
  }
  for (const [place, { address }] of processes.entries()) {
    checkers.push(askProcess(`process ${place + 1}`, address))
  }
  return checkers
}

const look = async ({ name, check }: Checker, record: Record, token: Issued) => {
  const askedMs = performance.now()
  const said = await check(token.token)
  if (said === 'accepted') record.accepted(token, name, askedMs)
  else if (said !== undefined) record.refused(token, name, said)
  return said
}

/** Each looks at what it is to look at again and again, until all are stopped. */
export const keepChecking = (checkers: readonly Checker[], record: Record) => {
  let isStopped = false
  const run = async (checker: Checker) => {
    while (!isStopped) {
      for (const token of checker.choose(record)) await look(checker, record, token)
      await pause(checker.everyMs)
    }
  }
  const done = Promise.all(checkers.map(run))
  return async () => {
    isStopped = true
    await done
  }
}

/** When everything is well again a verdict comes soon; how soon, a busy machine decides. */
const verdictWithinMs = 120_000

/** Every checker says what it thinks of the token, well after its revocation. */
export const judgeAtLast = async (
  checkers: readonly Checker[],
  record: Record,
  token: Issued,
): Promise<void> => {
  for (const checker of checkers) {
    const giveUpMs = performance.now() + verdictWithinMs
    while ((await look(checker, record, token)) === undefined) {
      if (performance.now() > giveUpMs) {
        record.wrong('stuck', `${checker.name} has no verdict`)
        break
      }
      await pause(200)
    }
  }
}
