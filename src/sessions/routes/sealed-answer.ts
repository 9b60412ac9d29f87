import type { FastifyReply } from 'fastify'
import type { SealAccessToken } from '../../tokens/index.ts'
import type { Issued } from '../issue-tokens.ts'
import type { CookieAnswer } from '../schemas.ts'
import { fitsSealed, tooLargeToSeal } from '../sealed-session.ts'
import { refreshCookie } from './refresh-cookie.ts'
import { sealedCookie } from './sealed-cookie.ts'

export type SealedAnswer = (reply: FastifyReply, issued: Issued) => Promise<CookieAnswer>

/**
 * The answer of a log-in or a refresh of a sealed session: both cookies, and no token where a script could read it. `expires_in` is of
 * the sealed token: by then the page refreshes.
 *
 * A refresh has consumed its handle by now. So the successor is set even when the token has become too long, by a role say: the person
 * stays signed in, and the next refresh works again once the roles are fewer.
 *
 * The function rejects with sealed_session_too_large.
 */
export const sealedAnswer =
  (seal: SealAccessToken): SealedAnswer =>
  async (reply, issued) => {
    reply.header('set-cookie', refreshCookie(issued.refreshToken, issued.refreshExpiresInSeconds))
    if (!fitsSealed(issued)) throw tooLargeToSeal()
    const sealed = await seal(issued.accessToken, issued.audience)
    reply.header('set-cookie', sealedCookie(sealed, issued.expiresInSeconds))
    return { session_id: issued.sessionId, expires_in: issued.expiresInSeconds }
  }
