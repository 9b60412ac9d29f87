import type { Counts } from './record.ts'
import type { Outcome } from './trial.ts'

const seconds = (ms: number): string => (ms / 1_000).toFixed(1)

const columns: readonly {
  readonly title: string
  readonly value: (counts: Counts) => string | number
}[] = [
  { title: 'refreshes', value: ({ refreshes }) => refreshes },
  { title: 'retries', value: ({ retries }) => retries },
  { title: 'lost', value: ({ lost }) => lost },
  { title: 'back late', value: ({ returns }) => returns },
  { title: 'odd answers', value: ({ unexpected }) => unexpected },
  { title: 'gap s', value: ({ longestGapMs }) => seconds(longestGapMs) },
  { title: 'worst wait s', value: ({ longestWaitMs }) => seconds(longestWaitMs) },
  { title: 'revoked', value: ({ revocations }) => revocations },
  { title: 'took effect', value: ({ acceptedThenRefused }) => acceptedThenRefused },
  { title: 'LOG-OUTS', value: ({ logOuts }) => logOuts },
  { title: 'GOOD REFUSED', value: ({ goodRefused }) => goodRefused },
  { title: 'DEAD ACCEPTED', value: ({ deadAccepted }) => deadAccepted },
  {
    title: 'MISSING',
    value: ({ missingSessions, missingRevocations }) => missingSessions + missingRevocations,
  },
  { title: 'STUCK', value: ({ stuck }) => stuck },
]

const nameWidth = 36

const line = (name: string, cells: readonly string[], result: string): string =>
  `${[
    name.padEnd(nameWidth),
    ...cells.map((cell, place) => cell.padStart(columns[place]!.title.length)),
    result,
  ].join('  ')}\n`

/** Below the table. */
export const legend = `
retries       requests that were sent again after a 503, a closed connection or 5 s without a response
lost          responses that the client received and forgot
back late     clients that came back 15 s later with the handle of before
odd answers   neither what was asked for, nor a refusal, nor a 503
gap s         the longest time in which nobody was served
worst wait s  the longest time for which one client kept trying
took effect   revoked tokens that were accepted before and refused by everybody in the end
To be zero: LOG-OUTS of people who did nothing wrong; tokens that were GOOD and REFUSED; what was revoked and ACCEPTED more than 5 s later;
sessions and revocations MISSING in Postgres; clients and verifiers STUCK when all was well again.
`

/** What is written in capitals has to be zero. */
export const heading = (): string =>
  line(
    'case',
    columns.map(({ title }) => title),
    'ok',
  )

export const rowOf = (name: string, { counts, problems }: Outcome): string =>
  line(
    name,
    columns.map(({ value }) => String(value(counts))),
    problems.length === 0 ? 'yes' : 'NO',
  )
