import { availableParallelism } from 'node:os'
import { listOf, wholeNumber } from './formats.ts'
import { secret } from './secret-format.ts'
import type { Setting } from './setting.ts'

const passwordPeppers: Setting<readonly string[] | undefined> = {
  name: 'PASSWORD_PEPPER',
  meaning:
    'A key that is part of every password hash and is stored outside the database. The first makes new hashes, all verify. Never one of CARDEA_SECRET.',
  format: listOf(secret, 8),
  fallback: undefined,
  defaultText: 'the one in DATA_DIR, generated together with a CARDEA_SECRET; otherwise none',
  whyThisDefault:
    'A lost pepper locks everybody out, so it is optional when you set the secrets yourself.',
  isSecret: true,
}

const passwordMinLength: Setting<number> = {
  name: 'PASSWORD_MIN_LENGTH',
  meaning: 'The minimum number of characters (Unicode code points) of a new password.',
  format: wholeNumber(8, 64),
  fallback: 15,
  whyThisDefault:
    'NIST SP 800-63B-4 section 3.1.1.2 asks for 15 where the password is the only factor.',
}

const hashConcurrency: Setting<number> = {
  name: 'HASH_CONCURRENCY',
  meaning: 'How many passwords are hashed at once; each takes one core and 19 MiB meanwhile.',
  format: wholeNumber(1, 256),
  fallback: Math.min(256, Math.max(1, availableParallelism() - 1)),
  defaultText: 'cores - 1, at least 1',
  whyThisDefault: 'A wave of logins leaves one core to refreshes.',
}

const hashQueue: Setting<number> = {
  name: 'HASH_QUEUE',
  meaning:
    'How many logins may wait for a hash, each at most 10 s; one more gets 503 at once. Logins whose clients disconnect take no place.',
  format: wholeNumber(0, 10_000),
  fallback: 64,
  whyThisDefault:
    'About a second of work for one core: clients that wait longer have usually left.',
}

const loginFailuresPerSource: Setting<number> = {
  name: 'LOGIN_FAILURES_PER_SOURCE',
  meaning: 'Failed logins in ten minutes from one address (IPv6: one /64) before it must wait.',
  format: wholeNumber(1, 1_000_000),
  fallback: 50,
  whyThisDefault: 'An office behind one address mistypes this often; guessing needs far more.',
}

const loginFailuresPerNetwork: Setting<number> = {
  name: 'LOGIN_FAILURES_PER_NETWORK',
  meaning: 'The same for the network around the address (IPv4 /24, IPv6 /48).',
  format: wholeNumber(1, 1_000_000),
  fallback: 500,
  whyThisDefault: 'Ten busy addresses: one host of a network does not lock out its neighbours.',
}

const loginFailuresGlobal: Setting<number> = {
  name: 'LOGIN_FAILURES_GLOBAL',
  meaning: 'The same for all clients together, against guessing from many addresses.',
  format: wholeNumber(1, 1_000_000),
  fallback: 5000,
  whyThisDefault: 'Far above what honest mistakes add up to in most installations.',
}

const loggedActsPerAccount: Setting<number> = {
  name: 'LOGGED_ACTS_PER_ACCOUNT',
  meaning:
    'Operations in ten minutes that one account or service client may write to the audit trail and the revocation log: logins, step-ups, revoked tokens. One session may use a quarter. Ending sessions is not counted.',
  format: wholeNumber(4, 1_000_000),
  fallback: 120,
  whyThisDefault: 'One in five seconds: far more than a person does, far less than fills a disk.',
}

/** Settings for logins: passwords, their cost and the limits on failures. */
export const loginSettings = {
  passwordPeppers,
  passwordMinLength,
  hashConcurrency,
  hashQueue,
  loginFailuresPerSource,
  loginFailuresPerNetwork,
  loginFailuresGlobal,
  loggedActsPerAccount,
}
