import type { Random } from '../lib/random.ts'
import type { OnEveryRequest } from './on-every-request.ts'

export const requestIdHeader = 'x-request-id'

/** 16 random bytes, base64url. Never taken from the client: it could write another request's id into our log. */
export const newRequestId = (random: Random): string => random(16).toString('base64url')

/** Every answer names its request, so that a user's report leads to the log entry. */
export const echoRequestId: OnEveryRequest = (request, reply) => {
  reply.header(requestIdHeader, request.id)
}
