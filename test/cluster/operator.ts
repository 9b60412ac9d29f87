import { setTimeout as pause } from 'node:timers/promises'
import { seeded } from '../support/run/seeded.ts'
import { type Answer, httpClient } from '../support/service/client.ts'
import { type Cluster, issuer } from './cluster.ts'
import type { Account, Person } from './person.ts'
import type { Held, Record, Revocation } from './record.ts'

const patienceMs = 10_000

const betweenRevocationsMs = 2_000

export type Operator = Awaited<ReturnType<typeof logInOperator>>

/** The operator. Revocations go from process to process. */
export const logInOperator = async ({ processes, operator }: Cluster) => {
  const clients = processes.map(({ address }) => httpClient(address))
  const first = clients[0]!
  const { accessToken: token } = await first.logIn(operator, { audience: issuer })
  let place = 0
  /** By the first process, as everything that is prepared: its clock is right. */
  const expectCreated = async (path: string, body: object) => {
    const answer = await first.post(path, { token, body })
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${answer.text}`)
    return answer.body
  }
  return {
    createAccount: async (name: string): Promise<Account> => {
      const account = { email: `${name}@example.com`, password: `the password of ${name}` }
      const { id } = await expectCreated('/admin/accounts', account)
      return { id, ...account }
    },
    createClient: async (name: string): Promise<{ id: string; secret: string }> => {
      const { client_id: id, client_secret: secret } = await expectCreated('/admin/clients', {
        name,
      })
      return { id, secret }
    },
    /** Undefined when no response came. */
    revoke: (body: object): Promise<Answer | undefined> => {
      place += 1
      const signal = AbortSignal.timeout(patienceMs)
      const client = clients[place % clients.length]!
      return client.post('/admin/revoke', { token, body, signal }).catch(() => undefined)
    },
  }
}

type Target = {
  readonly revocation: Revocation
  readonly what: Pick<Held, 'isAsked' | 'committedMs'>
}

const targetOf = (person: Person, held: Held, dice: number, record: Record): Target => {
  const token = record.newestOf(held)
  if (token) record.revokeEverything(token)
  if (token && dice < 4) return { revocation: { kind: 'jti', key: token.jti }, what: token }
  if (dice < 8) return { revocation: { kind: 'sid', key: held.sid }, what: held }
  return { revocation: { kind: 'sub', key: person.account.id }, what: held }
}

/** Revokes something of somebody once. A request is not repeated: one that fails leaves a session of which nothing is known. */
const revokeOnce = async (
  operator: Operator,
  record: Record,
  person: Person,
  dice: number,
): Promise<void> => {
  const held = person.held()
  if (!held || held.isAsked) return
  const { revocation, what } = targetOf(person, held, dice, record)
  // Before the request: from here on a refusal may be its effect.
  what.isAsked = true
  const answer = await operator.revoke({ [revocation.kind]: revocation.key })
  if (answer?.status === 200) record.committed(revocation, what)
  else if (revocation.kind === 'sub') person.doubt()
  if (answer?.status === 401) record.wrong('goodRefused', `the operator's: ${answer.text}`)
}

/** Revokes a token, a session or an account every few seconds, until it is stopped. */
export const keepRevoking = (operator: Operator, record: Record, people: readonly Person[]) => {
  const { next } = seeded()
  let isStopped = false
  const run = async () => {
    while (!isStopped) {
      await pause(betweenRevocationsMs)
      await revokeOnce(operator, record, people[next(people.length)]!, next(10))
    }
  }
  const done = run()
  return async () => {
    isStopped = true
    await done
  }
}
