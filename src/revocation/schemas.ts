import { Type } from 'typebox'
import {
  feedBinaryMediaType,
  type RevocationKind,
  revocationKinds,
} from '../../packages/verifier/src/wire.ts'
import { problemResponses } from '../http/problem.ts'

const kinds = revocationKinds.map((kind: RevocationKind) => Type.Literal(kind))

const entry = Type.Object({
  kind: Type.Union(kinds),
  key: Type.String({ description: 'The id that is revoked; empty for `everyone`' }),
  min_epoch: Type.Optional(
    Type.Integer({
      description: 'For `sub`, `claims`, `everyone`: tokens with a lower epoch are dead',
    }),
  ),
  not_after: Type.Integer({ description: 'Seconds since the Unix epoch; then it may be dropped' }),
})

const page = Type.Object({
  feed_id: Type.String({
    description: 'Names the log; a page of another one does not continue it',
  }),
  cursor: Type.String({ description: 'Opaque; what to send with the next request' }),
  entries: Type.Array(entry),
})

const pageResponse = {
  description: 'In the form that `Accept` names; JSON unless it names the binary one',
  content: {
    'application/json': { schema: page },
    [feedBinaryMediaType]: { schema: Type.String({ format: 'binary' }) },
  },
}

export const snapshotSchema = {
  summary: 'Everything that is revoked and has not ended',
  response: { 200: pageResponse, ...problemResponses(401, 503) },
}

/** The longest a request may wait for something new, seconds. */
const longestWaitSeconds = 3

export const changesSchema = {
  summary: 'What was revoked since a cursor',
  querystring: Type.Object(
    {
      cursor: Type.String({
        maxLength: 255,
        description: 'From the last answer, or from a snapshot',
      }),
      wait: Type.Optional(
        Type.String({
          pattern: `^[0-${longestWaitSeconds}]$`,
          description: 'Whole seconds to wait for a first entry; default 0',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: { 200: pageResponse, ...problemResponses(400, 401, 410, 503) },
}
