import { addressRange, listenHost, pageOrigin } from './addresses.ts'
import { folder, listOf, oneOf, wholeNumber } from './formats.ts'
import type { Setting } from './setting.ts'

const environment: Setting<'development' | 'test' | 'production'> = {
  name: 'NODE_ENV',
  meaning:
    'The word production turns on every demand marked below and refuses stores without verified TLS and well-known secrets.',
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
    'The service speaks plain HTTP: nobody outside this machine should reach it unless you allow it.',
}

const port: Setting<number> = {
  name: 'PORT',
  meaning: 'The TCP port to listen on. 0 takes any free one; then set ISSUER too.',
  format: wholeNumber(0, 65_535),
  fallback: 8088,
  whyThisDefault: 'Needs no privileges and is seldom taken.',
}

const dataDir: Setting<string> = {
  name: 'DATA_DIR',
  meaning:
    'Where the embedded Postgres, the first secret and pepper and the lock of a running service live. A relative path starts at the working directory.',
  format: folder,
  fallback: '.data',
  whyThisDefault: 'Beside the clone, ignored by git, gone with it.',
}

const allowedOrigins: Setting<readonly string[]> = {
  name: 'ALLOWED_ORIGINS',
  meaning:
    'The apps whose pages may call this service: with cookies from the same site, without them from another site or a webview.',
  format: listOf(pageOrigin),
  fallback: [],
  defaultText: 'nobody',
  whyThisDefault: 'Every origin here can act for whoever is logged in, so each is named.',
}

const trustedProxies: Setting<readonly string[]> = {
  name: 'TRUSTED_PROXIES',
  meaning:
    'The proxies in front, whose word on the address of the client, on HTTPS and on the page it wanted is taken (X-Forwarded-For, -Proto, -Uri, and -Host with COOKIE_DOMAIN).',
  format: listOf(addressRange),
  fallback: [],
  defaultText: 'nobody',
  whyThisDefault:
    'A client believed about its own address escapes every limit and forges the audit.',
}

const maxHeaderBytes: Setting<number> = {
  name: 'MAX_HEADER_BYTES',
  meaning:
    'The longest headers of a request, its cookies included, in bytes. Longer ones get 431 and, in browsers, a page that says what to do.',
  format: wholeNumber(8_192, 131_072),
  fallback: 16_384,
  whyThisDefault:
    'Raise it where apps on the same host set many cookies; each connection may then fill as much memory.',
}

const shutdownDelaySeconds: Setting<number> = {
  name: 'SHUTDOWN_DELAY_SECONDS',
  meaning:
    'Seconds that the service goes on serving after SIGTERM while /health/ready says not_ready. Then it takes no new connections and finishes what is under way, for up to 15 s more.',
  format: wholeNumber(0, 300),
  fallback: 0,
  whyThisDefault:
    'Without a load balancer nobody has to notice. Behind one: longer than it needs to notice, so that a restart loses no request.',
}

const logLevel: Setting<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'> = {
  name: 'LOG_LEVEL',
  meaning: 'The least important kind of log line to write.',
  format: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  fallback: 'info',
  whyThisDefault: 'Tells what happened without a line for every step.',
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
