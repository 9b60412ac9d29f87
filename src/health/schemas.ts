import { Type } from 'typebox'

export const liveSchema = {
  summary: 'The process runs',
  response: { 200: Type.Object({ status: Type.Literal('live') }) },
}

const storeState = Type.Union([
  Type.Literal('ready'),
  Type.Literal('unreachable'),
  Type.Literal('in_process', {
    description: 'No such store is configured; this process does its work',
  }),
])

const readiness = Type.Object({
  status: Type.Union([
    Type.Literal('ready'),
    Type.Literal('degraded', {
      description: 'Requests are served; `stores` and `data` say what is wrong',
    }),
    Type.Literal('not_ready'),
  ]),
  stores: Type.Object({ postgres: storeState, redis: storeState }),
  revocations: Type.Union([
    Type.Literal('ready'),
    Type.Literal('loading', {
      description: 'This process has not read yet what is revoked; it goes on trying',
    }),
  ]),
  data: Type.Union([
    Type.Literal('complete'),
    Type.Literal('lost', {
      description:
        'Postgres lost commits in a fail-over. Until everything is revoked, sessions that had ended may be alive',
    }),
  ]),
})

export const readySchema = {
  summary: 'Whether requests can be served, and what is not ready',
  response: { 200: readiness, 503: readiness },
}
