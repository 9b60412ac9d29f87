import { credentialCookie, expiredCookie } from '../../http/cookies.ts'

export const refreshCookieName = '__Host-cardea-refresh'

const sameSite = 'strict'

export const refreshCookie = (handle: string, maxAgeSeconds: number): string =>
  credentialCookie(refreshCookieName, handle, { maxAgeSeconds, sameSite })

export const expiredRefreshCookie = (): string => expiredCookie(refreshCookieName, { sameSite })
