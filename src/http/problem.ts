import { type Static, Type } from 'typebox'
import type { AppError } from '../lib/app-error.ts'
import { statusText } from './status-text.ts'

export const problemMediaType = 'application/problem+json'

/** RFC 9457. `code` is what programs decide on; `reason` says why a session ended; `request_id` leads to the log. */
export const problemSchema = Type.Object(
  {
    type: Type.String({ description: '`urn:cardea:problem:` and the code' }),
    title: Type.String({ description: 'One sentence, always the same for this code' }),
    status: Type.Integer(),
    code: Type.String({ description: 'Stable; the one member to branch on' }),
    detail: Type.Optional(Type.String({ description: 'More about this occurrence, for people' })),
    reason: Type.Optional(Type.String({ description: 'Why the session ended' })),
    request_id: Type.String(),
  },
  { $id: 'Problem', description: 'Why a request was refused (RFC 9457)' },
)

type Problem = Static<typeof problemSchema>

/** The public part of an error: never its cause. */
export const problemOf = (error: AppError, requestId: string): Problem => ({
  type: `urn:cardea:problem:${error.code}`,
  title: error.title,
  status: error.status,
  code: error.code,
  ...(error.detail !== undefined && { detail: error.detail }),
  ...(error.reason !== undefined && { reason: error.reason }),
  request_id: requestId,
})

type ProblemResponse = {
  readonly description: string
  readonly content: {
    readonly [problemMediaType]: { readonly schema: ReturnType<typeof Type.Ref<'Problem'>> }
  }
}

/** The refusals of a route, for its `schema.response`: every status it can answer is in the API description. */
export const problemResponses = <Status extends number>(
  ...statuses: readonly Status[]
): Record<Status, ProblemResponse> => {
  const responses = statuses.map((status) => [
    status,
    {
      description: statusText(status) ?? 'Refused',
      content: { [problemMediaType]: { schema: Type.Ref('Problem') } },
    },
  ])
  return Object.fromEntries(responses)
}
