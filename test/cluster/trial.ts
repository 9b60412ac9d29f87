import { setTimeout as pause } from 'node:timers/promises'
import { keepChecking, openCheckers } from './checkers.ts'
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts'
import { inspect } from './inspect.ts'
import { keepRevoking, logInOperator, type Operator } from './operator.ts'
import { createPerson, type Person, type StyleName } from './person.ts'
import { type Counts, openRecord, type Record, wrongs } from './record.ts'

export type Stage = {
  readonly cluster: Cluster
  readonly people: readonly Person[]
  readonly operator: Operator
  readonly record: Record
  /** Resolves so many seconds after the beginning of the trial. */
  readonly at: (seconds: number) => Promise<void>
}

export type TrialCase = {
  readonly name: string
  /** How long people refresh at least. What is broken must be well again some time before. */
  readonly seconds: number
  /** 50 unless given. */
  readonly people?: number
  readonly cluster?: ClusterOptions
  /** Nobody forgets a response and nobody leaves. */
  readonly isCalm?: boolean
  /** Whose sessions the operator leaves alone. */
  readonly isSpared?: (person: Person) => boolean
  /** What happens meanwhile. */
  readonly script: (stage: Stage) => Promise<void>
  /** What happens when people have refreshed for the last time, before everything is inspected. */
  readonly afterwards?: (stage: Stage) => Promise<void>
  /** What is wrong with the counts; the zeros that are none unless the case says something else. */
  readonly judge?: (counts: Counts) => readonly string[]
}

export type Outcome = {
  readonly counts: Counts
  /** What went wrong, one by one. */
  readonly notes: readonly string[]
  /** Why the case failed; empty when it did not. */
  readonly problems: readonly string[]
  /** What each process wrote. */
  readonly outputs: readonly string[]
}

/** Of twenty-five people; as many more follow the same list again. */
const kinds: readonly { readonly style: StyleName; readonly count: number }[] = [
  { style: 'browser', count: 11 },
  { style: 'native', count: 6 },
  { style: 'oauth', count: 3 },
  { style: 'sealed', count: 2 },
  { style: 'cookie', count: 3 },
]

const styleList = kinds.flatMap(({ style, count }) => Array.from({ length: count }, () => style))

/** Neighbours in the list differ, so that a small trial has everybody too. */
const styleOf = (place: number): StyleName => styleList[(place * 7) % styleList.length]!

const inTurns = async <T>(list: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
  const rest = [...list]
  const lane = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
  }
  // No more at once than the service hashes passwords for.
  await Promise.all([lane(), lane()])
}

const invite = async (
  count: number,
  { cluster, operator, record }: Omit<Stage, 'people' | 'at'>,
  calm: boolean,
): Promise<Person[]> => {
  const people: Person[] = []
  const places = Array.from({ length: count }, (_, place) => place)
  await inTurns(places, async (place) => {
    const style = styleOf(place)
    const person = createPerson({
      name: `person-${place + 1}`,
      account: await operator.createAccount(`person-${place + 1}`),
      style,
      // No more than two. With three, one may fail and rotate the cookie again while another, slow one still carries the first handle,
      // and that is theft by the table of the design.
      tabs: style === 'browser' && place % 3 !== 0 ? 2 : 1,
      leaves: !calm && place % 5 === 0,
      forgets: !calm,
      addresses: cluster.processes.map(({ address }) => address),
      record,
    })
    await person.logIn()
    people.push(person)
  })
  return people
}

const zeros = (counts: Counts): string[] =>
  wrongs.filter((what) => counts[what] > 0).map((what) => `${what}: ${counts[what]}`)

const play = async (trial: TrialCase, cluster: Cluster): Promise<Omit<Outcome, 'outputs'>> => {
  const record = openRecord()
  const operator = await logInOperator(cluster)
  const checkers = await openCheckers(cluster, operator)
  try {
    const people = await invite(
      trial.people ?? 50,
      { cluster, operator, record },
      trial.isCalm === true,
    )
    const stage: Stage = {
      cluster,
      people,
      operator,
      record,
      at: (seconds) => pause(Math.max(0, seconds - record.elapsedSeconds()) * 1_000),
    }
    record.begin()
    const stopChecking = keepChecking(checkers, record)
    const isSpared = trial.isSpared ?? (() => false)
    const stopRevoking = keepRevoking(
      operator,
      record,
      people.filter((person) => !isSpared(person)),
    )
    const running = people.map((person) => person.run(trial.seconds * 1_000))
    try {
      await trial.script(stage)
      await stage.at(trial.seconds)
    } finally {
      await stopRevoking()
      for (const { finish } of people) finish()
      await Promise.all(running)
      await stopChecking()
    }
    await trial.afterwards?.(stage)
    await inspect(cluster, checkers, people, record)
    const { counts, notes } = record
    return { counts, notes, problems: (trial.judge ?? zeros)(counts) }
  } finally {
    for (const checker of checkers) await checker.close()
  }
}

/** Starts everything, plays the case, ends everything. */
export const runTrial = async (trial: TrialCase): Promise<Outcome> => {
  const cluster = await startCluster(trial.cluster)
  try {
    const outcome = await play(trial, cluster)
    return { ...outcome, outputs: cluster.processes.map(({ output }) => output()) }
  } finally {
    await cluster.stop()
  }
}
