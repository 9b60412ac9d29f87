import type { FastifyReply } from 'fastify'
import type { Issued } from '../issue-tokens.ts'
import type { TokenAnswer } from '../schemas.ts'
import type { Delivery } from '../session.ts'
import { refreshCookie } from './refresh-cookie.ts'

/**
 * The answer of a log-in or a refresh. A browser gets the refresh token in the cookie and nowhere else, so that no script can read
 * it (RFC 9700 section 4.14.2; the body is for native clients, which asked for it).
 */
export const tokenAnswer = (
  reply: FastifyReply,
  issued: Issued,
  delivery: Delivery,
): TokenAnswer => {
  if (delivery === 'cookie') {
    reply.header('set-cookie', refreshCookie(issued.refreshToken, issued.refreshExpiresInSeconds))
  }
  return {
    access_token: issued.accessToken,
    token_type: 'Bearer',
    expires_in: issued.expiresInSeconds,
    session_id: issued.sessionId,
    ...(delivery === 'body' && { refresh_token: issued.refreshToken }),
  }
}
