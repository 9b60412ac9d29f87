import type { FastifyRequest } from 'fastify'
import { credentialCookie, expiredCookie, singleCookie } from '../../http/cookies.ts'

const refreshCookieName = '__Host-cardea-refresh'

const sameSite = 'strict'

/** @throws duplicate_cookie */
export const presentedRefreshCookie = (request: FastifyRequest): string | undefined =>
  singleCookie(request, refreshCookieName)

export const refreshCookie = (handle: string, maxAgeSeconds: number): string =>
  credentialCookie(refreshCookieName, handle, { maxAgeSeconds, sameSite })

export const expiredRefreshCookie = (): string => expiredCookie(refreshCookieName, { sameSite })
