import type { FastifyRequest } from 'fastify'
import { credentialCookie, expiredCookie, readSingleCookie } from '../../http/cookies.ts'

const refreshCookieName = '__Host-cardea-refresh'

const sameSite = 'strict'

/** @throws duplicate_cookie */
export const presentedRefreshCookie = ({
  headers,
}: Pick<FastifyRequest, 'headers'>): string | undefined =>
  readSingleCookie(headers.cookie, refreshCookieName)

export const refreshCookie = (handle: string, maxAgeSeconds: number): string =>
  credentialCookie(refreshCookieName, handle, { maxAgeSeconds, sameSite })

export const expiredRefreshCookie = (): string => expiredCookie(refreshCookieName, { sameSite })
