import ipaddr from 'ipaddr.js'
import type { Logger } from 'pino'
import type { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'

/** A caller may not do what it asked for. */
export type Refusal = {
  /** The code of the error. */
  readonly kind: string
  /** The address of the client. */
  readonly address: string
  /** What else is known of the first one: never a secret. */
  readonly fields: object
}

/**
 * Codes of everyday life, as the error or as its cause: nothing was presented, or what was presented is too old. What they mean is in the audit
 * trail where it matters (a wrong password, a stolen session).
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

/** The codes of OAuth that are 400 (RFC 6749 section 5.2) and mean that the client may not. */
const oauthRefusals: ReadonlySet<string> = new Set([
  'invalid_grant',
  'invalid_scope',
  'invalid_target',
  'unauthorized_client',
  'unsupported_token_type',
])

/** A chain of causes longer than this is a loop or a mistake. */
const maxCauses = 5

const isEveryday = (error: unknown, causesLeft = maxCauses): boolean =>
  error instanceof Error &&
  (('code' in error && everyday.has(error.code)) ||
    (causesLeft > 0 && isEveryday(error.cause, causesLeft - 1)))

/** Whether somebody presented what does not allow what they asked for, or what is not ours. */
export const isRefusalOfAuthority = (error: AppError): boolean => {
  const { code, status, reason, cause } = error
  if (status !== 401 && status !== 403 && !oauthRefusals.has(code)) return false
  // To a proxy: nobody is logged in. It has a cause when somebody tried to be.
  if (code === 'sign_in_required' && cause === undefined) return false
  // With a reason the session was ours and has ended.
  return !(code === 'invalid_session' && reason !== undefined) && !isEveryday(error)
}

/** What the caller was not told: the innermost cause. */
export const exactCause = (error: Error, causesLeft = maxCauses): string | undefined => {
  const { cause } = error
  if (!(cause instanceof Error)) return undefined
  return (causesLeft > 0 ? exactCause(cause, causesLeft - 1) : undefined) ?? cause.message
}

/** One IPv4 address or one IPv6 /64: what a single customer of a provider holds. */
const sourceOf = (address: string): string => {
  const [plain = ''] = address.split('%', 1)
  if (!ipaddr.isValid(plain)) return 'unknown'
  const parsed = ipaddr.process(plain)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toNormalizedString()}/64`)}/64`
}

/** Whoever has many addresses gets no more lines than this at a time, and no more memory; the others are counted together, by kind. */
const mostSources = 200

type Entry = { readonly kind: string; readonly source: string; sinceMs: number; more: number }

const event = 'authority_refused'

/** Writes the first refusal of each kind to each source, and a count of the others once a window for as long as they go on. */
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
    const isOne = entries.has(`${kind} ${own}`) || entries.size < mostSources
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
