import { longestTokenSeconds } from '../lib/machine.ts'
import { issuerAddress } from './addresses.ts'
import { audienceName, listOf, oneOf, wholeNumber } from './formats.ts'
import { secret } from './secret-format.ts'
import type { Setting } from './setting.ts'

/** Browsers limit the life of a cookie to 400 days (RFC 6265bis), so a longer session would end early there. */
const longestSessionDays = 365

const issuer: Setting<string | undefined> = {
  name: 'ISSUER',
  meaning:
    'The public address of this service, the iss of every token, used unchanged. In production it must begin with https://.',
  format: issuerAddress,
  fallback: undefined,
  defaultText: 'http://HOST:PORT',
  whyThisDefault:
    'Right on one machine only (with 127.0.0.1 for every interface): a verifier elsewhere could not fetch the keys.',
  isDemandedInProduction: true,
}

const audiences: Setting<readonly string[] | undefined> = {
  name: 'AUDIENCE',
  meaning:
    'The services that tokens may be issued for. The first is used when a login names none; ISSUER itself is always accepted.',
  format: listOf(audienceName),
  fallback: undefined,
  defaultText: 'ISSUER',
  whyThisDefault: 'Enough while one service uses the tokens.',
}

const secrets: Setting<readonly string[] | undefined> = {
  name: 'CARDEA_SECRET',
  meaning:
    'The root of the keys that protect session handles and stored signing keys. The first makes new values, all verify, so it can be rolled.',
  format: listOf(secret, 8),
  fallback: undefined,
  defaultText: 'made at the first start, in DATA_DIR',
  whyThisDefault:
    'Outside development it must come from a secret store and be the same for every process.',
  isDemandedInProduction: true,
  isSecret: true,
}

const accessTokenSeconds: Setting<number> = {
  name: 'ACCESS_TOKEN_SECONDS',
  meaning:
    'How long an access token is valid. Revocations are kept for the maximum lifetime in any case.',
  format: wholeNumber(60, longestTokenSeconds),
  fallback: longestTokenSeconds,
  whyThisDefault:
    'Revocation does not depend on it, and the maximum that verifiers accept causes the fewest refreshes.',
}

const refreshGraceSeconds: Setting<number> = {
  name: 'REFRESH_GRACE_SECONDS',
  meaning:
    'How long the last presented handle still gets the same successor. Then REFRESH_LOST_RESPONSE applies. 0 needs REFRESH_LOST_RESPONSE=end.',
  format: wholeNumber(0, 60),
  fallback: 10,
  whyThisDefault:
    'Covers retries and several tabs. For this long a copied handle gets the same successor as its owner.',
}

const refreshLostResponse: Setting<'resume' | 'end'> = {
  name: 'REFRESH_LOST_RESPONSE',
  meaning:
    'What a refresh does when the last presented handle comes again after the grace. resume: it issues a new successor. end: it ends the session as stolen.',
  format: oneOf(['resume', 'end']),
  fallback: 'resume',
  whyThisDefault:
    'A lost response does not log the user out, and two holders of one session are still detected.',
}

const sessionIdleDays: Setting<number> = {
  name: 'SESSION_IDLE_DAYS',
  meaning: 'A session not used for this many days ends.',
  format: wholeNumber(1, longestSessionDays),
  fallback: 14,
  whyThisDefault: 'Survives a holiday, but ends the session of a forgotten device.',
}

const sessionAbsoluteDays: Setting<number> = {
  name: 'SESSION_ABSOLUTE_DAYS',
  meaning:
    'A session ends this many days after the login, used or not. At least SESSION_IDLE_DAYS.',
  format: wholeNumber(1, longestSessionDays),
  fallback: 30,
  whyThisDefault: 'NIST SP 800-63B-4 recommends at most 30 days, even at its lowest level (AAL1).',
}

const browserSessionHours: Setting<number> = {
  name: 'BROWSER_SESSION_HOURS',
  meaning:
    'A session of a login with "persist": false ends this many hours after the login, used or not. At most SESSION_ABSOLUTE_DAYS.',
  format: wholeNumber(1, longestSessionDays * 24),
  fallback: 24,
  whyThisDefault:
    'A working day with some reserve. Its cookies end with the browser, but a browser that restores its tabs restores them too.',
}

const sessionsPerAccount: Setting<number> = {
  name: 'SESSIONS_PER_ACCOUNT',
  meaning:
    'The maximum number of sessions of one account; a further login ends the least recently used.',
  format: wholeNumber(1, 1000),
  fallback: 20,
  whyThisDefault: 'More devices than one person has, but few enough to review.',
}

const signingAlgorithm: Setting<'ES256' | 'RS256' | 'Ed25519'> = {
  name: 'SIGNING_ALGORITHM',
  meaning:
    'How access tokens are signed. Existing keys keep their algorithm: a change begins with the next rotation, or with cardea keys rotate.',
  format: oneOf(['ES256', 'RS256', 'Ed25519']),
  fallback: 'ES256',
  whyThisDefault:
    'Known to nearly every verifier and quick to sign. RS256 signs about ten times slower; several verifiers do not know Ed25519.',
}

const signingKeyRotationDays: Setting<number> = {
  name: 'SIGNING_KEY_ROTATION_DAYS',
  meaning:
    'A signing key is replaced after this many days. Its successor is published long before.',
  format: wholeNumber(1, 365),
  fallback: 30,
  whyThisDefault:
    'Limits the use of a key that was stolen unnoticed, and regular rotation proves that it works in an emergency.',
}

/** Settings for what is issued: tokens, handles, lifetimes. */
export const tokenSettings = {
  issuer,
  audiences,
  secrets,
  accessTokenSeconds,
  refreshGraceSeconds,
  refreshLostResponse,
  sessionIdleDays,
  sessionAbsoluteDays,
  browserSessionHours,
  sessionsPerAccount,
  signingAlgorithm,
  signingKeyRotationDays,
}
