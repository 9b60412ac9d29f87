import { addressRange, listenHost, pageOrigin } from './addresses.ts'
import { folder, listOf, oneOf, wholeNumber } from './formats.ts'
import type { Setting } from './setting.ts'

const environment: Setting<'development' | 'test' | 'production'> = {
  name: 'NODE_ENV',
  meaning:
    'The value production enables every requirement marked below. It refuses well-known secrets and stores without verified TLS.',
  format: oneOf(['development', 'test', 'production']),
  fallback: 'development',
  whyThisDefault:
    'A first start needs nothing installed; a misspelt production is an error, not development.',
}

const host: Setting<string> = {
  name: 'HOST',
  meaning: 'The address to listen on. 0.0.0.0 or :: means every interface.',
  format: listenHost,
  fallback: '127.0.0.1',
  whyThisDefault:
    'The service uses plain HTTP, so other machines cannot reach it unless you allow it.',
}

const port: Setting<number> = {
  name: 'PORT',
  meaning: 'The TCP port to listen on. 0 takes any free one; then set ISSUER too.',
  format: wholeNumber(0, 65_535),
  fallback: 8088,
  whyThisDefault: 'Needs no privileges and is rarely in use.',
}

const dataDir: Setting<string> = {
  name: 'DATA_DIR',
  meaning:
    'The folder of the embedded Postgres, the generated secret and pepper, and the lock of a running service. A relative path starts at the working directory.',
  format: folder,
  fallback: '.data',
  whyThisDefault: 'Inside the clone, ignored by git and removed with it.',
}

const allowedOrigins: Setting<readonly string[]> = {
  name: 'ALLOWED_ORIGINS',
  meaning:
    'The apps whose pages may call this service: with cookies from the same site, without them from another site or a webview.',
  format: listOf(pageOrigin),
  fallback: [],
  defaultText: 'none',
  whyThisDefault:
    'Pages of these origins can act for every logged-in user, so each must be listed.',
}

const trustedProxies: Setting<readonly string[]> = {
  name: 'TRUSTED_PROXIES',
  meaning:
    'The proxies in front of the service. Their headers are trusted for the client address, for HTTPS and for the requested page (X-Forwarded-For, -Proto, -Uri, and -Host with COOKIE_DOMAIN).',
  format: listOf(addressRange),
  fallback: [],
  defaultText: 'none',
  whyThisDefault:
    'A client that could set its own address would evade every limit and forge the audit trail.',
}

const maxHeaderBytes: Setting<number> = {
  name: 'MAX_HEADER_BYTES',
  meaning:
    'The maximum size of the headers of a request, including its cookies, in bytes. Longer ones get 431 and, in browsers, a page that says what to do.',
  format: wholeNumber(8_192, 131_072),
  fallback: 16_384,
  whyThisDefault:
    'Raise it where apps on the same host set many cookies; each connection may then fill as much memory.',
}

const shutdownDelaySeconds: Setting<number> = {
  name: 'SHUTDOWN_DELAY_SECONDS',
  meaning:
    'How many seconds the service still serves requests after SIGTERM while /health/ready says not_ready. Then it accepts no new connections and finishes running requests, for up to 15 s more.',
  format: wholeNumber(0, 300),
  fallback: 0,
  whyThisDefault:
    'Right without a load balancer. Behind one, set it longer than the load balancer needs to notice, so that a restart loses no request.',
}

const logLevel: Setting<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'> = {
  name: 'LOG_LEVEL',
  meaning: 'The lowest level of log lines to write.',
  format: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  fallback: 'info',
  whyThisDefault: 'Shows what happened without a line for every step.',
}

/** Settings of the process: its address, the trusted proxies, the log. */
export const serverSettings = {
  environment,
  host,
  port,
  dataDir,
  allowedOrigins,
  trustedProxies,
  maxHeaderBytes,
  shutdownDelaySeconds,
  logLevel,
}
