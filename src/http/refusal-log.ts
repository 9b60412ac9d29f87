import ipaddr from 'ipaddr.js'
import type { Logger } from 'pino'
import type { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'

/** A request that was refused because the caller lacks the authority. */
export type Refusal = {
  /** The error code. */
  readonly kind: string
  /** The address of the client. */
  readonly address: string
  /** Other facts about the first refusal. Never a secret. */
  readonly fields: object
}

/**
 * Everyday codes, of the error or of its cause: no credentials were presented, or they have expired. The audit trail records them where
 * they matter (a wrong password, a stolen session).
 */
const everyday: ReadonlySet<unknown> = new Set([
  'missing_token',
  'missing_session',
  'missing_credentials',
  'missing_refresh_token',
  'invalid_credentials',
  'session_ended',
  'token_expired',
  'sign_in_too_old',
])

/** OAuth codes with status 400 (RFC 6749 section 5.2) that mean that the client has no permission. */
const oauthRefusals: ReadonlySet<string> = new Set([
  'invalid_grant',
  'invalid_scope',
  'invalid_target',
  'unauthorized_client',
  'unsupported_token_type',
])

/** A longer chain of causes is a loop or a mistake. */
const maxCauses = 5

const isEveryday = (error: unknown, causesLeft = maxCauses): boolean =>
  error instanceof Error &&
  (('code' in error && everyday.has(error.code)) ||
    (causesLeft > 0 && isEveryday(error.cause, causesLeft - 1)))

/** Whether the credentials do not permit the request, or were not issued by this service. */
export const isRefusalOfAuthority = (error: AppError): boolean => {
  const { code, status, reason, cause } = error
  if (status !== 401 && status !== 403 && !oauthRefusals.has(code)) return false
  // A response to a proxy: the user is not logged in. It has a cause when credentials were presented.
  if (code === 'sign_in_required' && cause === undefined) return false
  // With a reason, the session was issued by this service and has ended.
  return !(code === 'invalid_session' && reason !== undefined) && !isEveryday(error)
}

/** The innermost cause, which the caller does not see. */
export const exactCause = (error: Error, causesLeft = maxCauses): string | undefined => {
  const { cause } = error
  if (!(cause instanceof Error)) return undefined
  return (causesLeft > 0 ? exactCause(cause, causesLeft - 1) : undefined) ?? cause.message
}

/** One IPv4 address or one IPv6 /64, which is what a provider gives to a single customer. */
const sourceOf = (address: string): string => {
  const [plain = ''] = address.split('%', 1)
  if (!ipaddr.isValid(plain)) return 'unknown'
  const parsed = ipaddr.process(plain)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toNormalizedString()}/64`)}/64`
}

/** Limits log lines and memory when a client has many addresses. Sources beyond it are counted together, by kind. */
const maxSources = 200

type Entry = { readonly kind: string; readonly source: string; sinceMs: number; more: number }

const event = 'authority_refused'

/** Logs the first refusal for each kind and source, then a count of further ones after each window. */
export const refusalLog = (
  lines: Pick<Logger, 'info'>,
  clock: Pick<Clock, 'monotonicMs'>,
  windowMs: number,
): ((refusal: Refusal) => void) => {
  const entries = new Map<string, Entry>()

  const look = (): void => {
    const nowMs = clock.monotonicMs()
    for (const [key, entry] of entries) {
      const { kind, source, sinceMs, more } = entry
      if (nowMs - sinceMs < windowMs) continue
      if (more === 0) {
        entries.delete(key)
        continue
      }
      const seconds = Math.round((nowMs - sinceMs) / 1000)
      lines.info({ event, kind, source, more, seconds }, 'authority was refused again')
      entry.sinceMs = nowMs
      entry.more = 0
    }
    if (entries.size > 0) planLook()
  }
  const planLook = (): void => {
    setTimeout(look, windowMs / 4).unref()
  }

  return ({ kind, address, fields }) => {
    const own = sourceOf(address)
    const isOne = entries.has(`${kind} ${own}`) || entries.size < maxSources
    const source = isOne ? own : 'others'
    const key = `${kind} ${source}`
    const entry = entries.get(key)
    if (entry) {
      entry.more += 1
      return
    }
    if (entries.size === 0) planLook()
    entries.set(key, { kind, source, sinceMs: clock.monotonicMs(), more: 0 })
    lines.info({ event, kind, source, ...fields }, 'authority was refused')
  }
}
