/** What a proxy asks about, beyond somebody being signed in. */
export type Rules = {
  /** Any one of them is enough; none: everybody who is signed in. */
  readonly roles: readonly string[]
  /** How long ago the person may have proved who they are. */
  readonly maxAgeSeconds: number | undefined
}

/** Who asks, whatever the credential was. */
export type Identity = {
  readonly accountId: string
  readonly sessionId: string
  readonly roles: readonly string[]
  readonly authenticatedAtMs: number
}

export type Decision = 'allow' | 'lacks_role' | 'too_old'

/**
 * Whether this person may pass. The role comes first: signing in again would not help who lacks it, and would be asked for again and
 * again.
 */
export const decide = (
  { roles: held, authenticatedAtMs }: Identity,
  { roles, maxAgeSeconds }: Rules,
  nowMs: number,
): Decision => {
  if (roles.length > 0 && !roles.some((role) => held.includes(role))) return 'lacks_role'
  const isTooOld = maxAgeSeconds !== undefined && nowMs - authenticatedAtMs > maxAgeSeconds * 1000
  return isTooOld ? 'too_old' : 'allow'
}
