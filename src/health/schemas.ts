import { Type } from 'typebox'

export const liveSchema = {
  summary: 'The process runs',
  response: { 200: Type.Object({ status: Type.Literal('live') }) },
}

const storeState = Type.Union([
  Type.Literal('ready'),
  Type.Literal('unreachable'),
  Type.Literal('not_primary', {
    description: 'Postgres responds, but is a standby or read-only; it is not used then',
  }),
  Type.Literal('refuses_writes', {
    description:
      'Redis responds but accepts no writes: a replica, full, a node of a Cluster behind the URL of a single server, or its user may not',
  }),
  Type.Literal('in_process', {
    description: 'No such store is configured; this process does its work',
  }),
])

const readiness = Type.Object({
  status: Type.Union([
    Type.Literal('ready'),
    Type.Literal('degraded', {
      description: 'Requests are served; the other members say what is wrong',
    }),
    Type.Literal('not_ready'),
  ]),
  stores: Type.Object({ postgres: storeState, redis: storeState }),
  revocations: Type.Union([
    Type.Literal('ready'),
    Type.Literal('loading', {
      description: 'This process has not loaded the revocations yet; it keeps trying',
    }),
  ]),
  data: Type.Union([
    Type.Literal('complete'),
    Type.Literal('lost', {
      description:
        'Postgres lost commits in a fail-over. Until everything is revoked, sessions that had ended may be valid again',
    }),
  ]),
  log: Type.Union([
    Type.Literal('complete'),
    Type.Literal('dropping', {
      description:
        'Standard output accepts no lines, and some are lost: the disk is full, or its reader is blocked',
    }),
  ]),
  clock: Type.Union([
    Type.Literal('agrees'),
    Type.Literal('differs', {
      description:
        'The clock of this machine is more than 5 s off that of Postgres, which is used instead',
    }),
    Type.Literal('too_far', { description: 'The same, by more than 30 s: not ready' }),
  ]),
  process: Type.Union([
    Type.Literal('serving'),
    Type.Literal('stopping', {
      description:
        'The process received a stop signal. It still serves requests for SHUTDOWN_DELAY_SECONDS: not ready, so that load balancers send no more',
    }),
  ]),
})

export const readySchema = {
  summary: 'Whether requests can be served, and what is not ready',
  response: { 200: readiness, 503: readiness },
}
