import type { FastifyRequest } from 'fastify'
import { httpErrors } from '../../http/errors.ts'
import type { Delivery } from '../session.ts'
import { presentedRefreshCookie } from './refresh-cookie.ts'

export type Presented = { readonly presented: string; readonly delivery: Delivery }

/**
 * The refresh token of a request: from the cookie, or from the body for sessions delivered there. The place decides the kind, so
 * that a token stolen from one place is of no use in the other.
 * @throws invalid_request when it comes both ways, duplicate_cookie
 */
export const presentedHandle = (
  request: FastifyRequest<{ Body: { refresh_token?: string } | undefined }>,
): Presented | undefined => {
  const inCookie = presentedRefreshCookie(request)
  const inBody = request.body?.refresh_token
  if (inCookie !== undefined && inBody !== undefined) {
    throw httpErrors.error('invalid_request', {
      detail: 'A refresh token came in the cookie and in the body; send one.',
    })
  }
  if (inCookie !== undefined) return { presented: inCookie, delivery: 'cookie' }
  if (inBody !== undefined) return { presented: inBody, delivery: 'body' }
  return undefined
}
