import { setTimeout as pause } from 'node:timers/promises'
import { idToBytes } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import type { Person } from './person.ts'
import type { Counts, Wrong } from './record.ts'
import type { Stage, TrialCase } from './trial.ts'

const secondMs = 1_000
const dayMs = 24 * 3_600 * secondMs

const restart = async ({ cluster }: Stage, place: number): Promise<void> => {
  await cluster.processes[place]!.end()
  await cluster.processes[place]!.start()
}

/** One of three processes has a wrong wall clock from its start on. */
const clock = (name: string, aheadMs: number, seconds = 30): TrialCase => ({
  name: `clock ${name} on one of three`,
  seconds,
  cluster: { clocksAheadMs: [0, 0, aheadMs] },
  script: async () => undefined,
})

/** One that is quick enough for every run of the tests. */
export const killed: TrialCase = {
  name: 'kill -9 of one process',
  seconds: 30,
  script: async ({ cluster, at }) => {
    const [first, second] = cluster.processes
    await at(4)
    await first!.kill()
    await at(8)
    await first!.start()
    await at(12)
    await second!.kill()
    await second!.start()
  },
}

const rolled: TrialCase = {
  name: 'rolling restart',
  seconds: 32,
  script: async (stage) => {
    await stage.at(4)
    for (const place of stage.cluster.processes.keys()) await restart(stage, place)
  },
}

const frozenPostgres: TrialCase = {
  name: 'Postgres frozen for 15 s',
  seconds: 38,
  script: async ({ cluster: { postgres }, at }) => {
    await at(4)
    await postgres.freeze()
    await at(19)
    await postgres.thaw()
  },
}

const stalledCommit: TrialCase = {
  name: 'synchronous commit stalled for 15 s',
  seconds: 38,
  cluster: { synchronous: true },
  script: async ({ cluster, at }) => {
    await at(4)
    await cluster.standby().freeze()
    await at(19)
    await cluster.standby().thaw()
  },
}

const frozenProcess: TrialCase = {
  name: 'one process frozen for 30 s',
  seconds: 46,
  script: async ({ cluster, at }) => {
    await at(3)
    cluster.processes[0]!.freeze()
    await at(33)
    cluster.processes[0]!.thaw()
  },
}

const redis: TrialCase = {
  name: 'Redis flushed, stopped, started',
  seconds: 34,
  script: async ({ cluster, at }) => {
    await at(4)
    await cluster.redis.flush()
    await at(10)
    await cluster.redis.kill()
    await at(18)
    await cluster.redis.restart()
    await at(22)
    await cluster.redis.flush()
  },
}

/** What the faults are. The purge of a process runs first some 70 s after its start, hence the length of the last. */
export const faults: readonly TrialCase[] = [
  killed,
  rolled,
  frozenPostgres,
  stalledCommit,
  frozenProcess,
  clock('+9 s', 9 * secondMs),
  clock('-40 s', -40 * secondMs),
  clock('+40 d', 40 * dayMs, 70),
  redis,
]

/** Of the control: short, so that thieves and people need not wait long. */
const graceSeconds = 3
const outsideGraceMs = (graceSeconds + 2) * secondMs

/** The victim is no longer one who did nothing wrong: what follows is no mistake. */
const steal = (victim: Person): string => {
  const held = victim.held()
  if (!held) throw new Error(`${victim.name} is not logged in`)
  held.isAsked = true
  return victim.handle()
}

/** Resolves when the victim's session has ended and the thief holds nothing that is good. */
const expectCaught = async ({ record, at }: Stage, victim: Person, sid: string, stolen: string) => {
  for (let second = 0; second < 60 && victim.held()?.sid === sid; second += 1) {
    await at(record.elapsedSeconds() + 1)
  }
  const hasEnded = victim.held()?.sid !== sid
  const last = await victim.present(stolen)
  if (hasEnded && last?.kind === 'refused') record.add('thievesCaught')
}

/** A handle of long ago. */
const lateThief = async (stage: Stage, victim: Person) => {
  const sid = victim.held()?.sid ?? ''
  const stolen = steal(victim)
  await pause(outsideGraceMs)
  await victim.present(stolen)
  await expectCaught(stage, victim, sid, stolen)
}

/** Takes part in a refresh, gets the same successor, and uses it later. */
const patientThief = async (stage: Stage, victim: Person) => {
  const sid = victim.held()?.sid ?? ''
  const first = await victim.present(steal(victim))
  const stolen = first?.kind === 'served' ? (victim.handleIn(first.answer) ?? '') : ''
  await pause(outsideGraceMs)
  await victim.present(stolen)
  await expectCaught(stage, victim, sid, stolen)
}

/** Uses the newest handle while the victim rests, so that the victim comes back with one that looks like a lost response. */
const quickThief = async (stage: Stage, victim: Person) => {
  const sid = victim.held()?.sid ?? ''
  victim.rest(2 * outsideGraceMs)
  await pause(2 * secondMs)
  const first = await victim.present(steal(victim))
  const stolen = first?.kind === 'served' ? (victim.handleIn(first.answer) ?? '') : ''
  await pause(2 * outsideGraceMs)
  await victim.present(stolen)
  await expectCaught(stage, victim, sid, stolen)
}

const planted: Readonly<Partial<Record<Wrong, (count: number) => boolean>>> = {
  logOuts: (count) => count === 1,
  // By each of three verifiers, by a process, by refreshes.
  deadAccepted: (count) => count >= 5,
  missingSessions: (count) => count === 1,
  missingRevocations: (count) => count === 1,
  stuck: (count) => count === 0,
}

const judgePlanted = (counts: Counts): string[] => {
  const wrong = Object.entries(planted)
    .filter(([what, is]) => !is(counts[what as Wrong]))
    .map(([what]) => `planted ${what} were counted ${counts[what as Wrong]} times`)
  if (counts.thievesCaught !== 3) wrong.push(`${counts.thievesCaught} of 3 thieves were caught`)
  if (counts.acceptedThenRefused === 0) wrong.push('no revocation was seen to take effect')
  return wrong
}

/** A revocation that is noted and was never made: everybody goes on accepting, and the log has no entry. */
const noteOnly = ({ record }: Stage, person: Person) => {
  const held = person.held()!
  held.isAsked = true
  record.revokeEverything(record.newestOf(held)!)
  record.committed({ kind: 'sid', key: held.sid }, held)
}

const isPlanted = ({ style }: Person): boolean => style === 'native'

/** Nothing is broken, and everything that is counted is made to happen: a count that stays zero says nothing otherwise. */
export const control: TrialCase = {
  name: 'control: everything planted',
  seconds: 24,
  people: 25,
  isCalm: true,
  isSpared: isPlanted,
  cluster: { settings: { REFRESH_GRACE_SECONDS: String(graceSeconds) } },
  script: async (stage) => {
    const [noted, unnoted, ...victims] = stage.people.filter(isPlanted)
    await stage.at(3)
    noteOnly(stage, noted!)
    await stage.operator.revoke({ sid: unnoted!.held()!.sid })
    await Promise.all([
      lateThief(stage, victims[0]!),
      patientThief(stage, victims[1]!),
      quickThief(stage, victims[2]!),
    ])
  },
  afterwards: async ({ cluster, people }) => {
    const loser = people.filter(isPlanted).at(-1)!
    const id = idToBytes(loser.held()!.sid)
    await sqlAs(cluster.postgres.ownerUrl)('DELETE FROM sessions WHERE id = $1', [id])
  },
  judge: judgePlanted,
}
