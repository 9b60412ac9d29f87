import { setTimeout as pause } from 'node:timers/promises'
import { idToBytes } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Checker, judgeAtLast } from './checkers.ts'
import type { Cluster } from './cluster.ts'
import type { Person } from './person.ts'
import type { Issued, Record } from './record.ts'

const isCommitted = ({ committedMs, held }: Issued): boolean =>
  committedMs !== undefined || held.committedMs !== undefined

/** Nobody accepts anything of what was revoked: asked of everybody, later than the bound. */
const inspectRevoked = async (checkers: readonly Checker[], record: Record): Promise<void> => {
  await pause(5_500)
  const revoked = new Set([...record.revoked(), ...record.watched()].filter(isCommitted))
  for (const token of revoked) {
    const wasAccepted = token.acceptedBy.size > 0
    await judgeAtLast(checkers, record, token)
    const isRefused = checkers.every(({ name }) => token.refusedBy.has(name))
    if (wasAccepted && isRefused) record.add('acceptedThenRefused')
  }
}

/** What was answered with success is in the database. */
const inspectPostgres = async (
  { postgres }: Cluster,
  people: readonly Person[],
  record: Record,
): Promise<void> => {
  const sql = sqlAs(postgres.ownerUrl)
  for (const person of people) {
    const held = person.held()
    if (!held || held.isAsked) continue
    const live = 'SELECT 1 FROM sessions WHERE id = $1 AND ended_at IS NULL'
    const rows = await sql(live, [idToBytes(held.sid)])
    if (rows.length === 0) record.wrong('missingSessions', `of ${person.name}`)
  }
  for (const { kind, key } of record.revocations) {
    const rows = await sql('SELECT 1 FROM revocations WHERE kind = $1 AND key = $2', [kind, key])
    if (rows.length === 0) record.wrong('missingRevocations', `${kind} ${key}`)
  }
}

export const inspect = async (
  cluster: Cluster,
  checkers: readonly Checker[],
  people: readonly Person[],
  record: Record,
): Promise<void> => {
  await inspectPostgres(cluster, people, record)
  await inspectRevoked(checkers, record)
}
