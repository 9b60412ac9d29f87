import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { configErrorOf } from './environments.ts'

const isRefused = (name: string, text: string): boolean =>
  configErrorOf({ [name]: text }).problems.every((problem) => problem.name === name)

/** Without it some limits of other settings cannot be reached. */
const withoutGrace = { REFRESH_GRACE_SECONDS: '0', REFRESH_LOST_RESPONSE: 'end' }

describe('numbers', () => {
  test.each([...'1e3 0x10 +5 -5 5.0 05 ٥ Infinity NaN'.split(' '), ' 5', '5 ', '9'.repeat(30)])(
    'the number %j is not strictly written and is refused',
    (text) => {
      expect(isRefused('DATABASE_POOL_SIZE', text)).toBe(true)
    },
  )

  test.each([
    ['PORT', 0, 65_535],
    ['ACCESS_TOKEN_SECONDS', 60, 900],
    ['REFRESH_GRACE_SECONDS', 0, 60],
    ['SESSIONS_PER_ACCOUNT', 1, 1000],
    ['DATABASE_POOL_SIZE', 1, 100],
    ['DATABASE_CONNECT_TIMEOUT_MS', 50, 10_000],
    ['DATABASE_START_TIMEOUT_SECONDS', 1, 3_600],
    ['DATABASE_STATEMENT_TIMEOUT_MS', 50, 60_000],
    ['PASSWORD_MIN_LENGTH', 8, 64],
    ['HASH_CONCURRENCY', 1, 256],
    ['HASH_QUEUE', 0, 10_000],
    ['LOGIN_FAILURES_PER_SOURCE', 1, 1_000_000],
    ['LOGIN_FAILURES_PER_NETWORK', 1, 1_000_000],
    ['LOGIN_FAILURES_GLOBAL', 1, 1_000_000],
    ['LOGGED_ACTS_PER_ACCOUNT', 4, 1_000_000],
    ['SHUTDOWN_DELAY_SECONDS', 0, 300],
  ])('%s takes %d and %d and nothing beyond', (name, least, most) => {
    for (const value of [least, most]) {
      // Without a grace, which has to be longer than the timeouts.
      const config = loadConfig({ ...withoutGrace, [name]: String(value) })
      expect(Object.values(config)).toContain(value)
    }
    for (const value of [least - 1, most + 1]) expect(isRefused(name, String(value))).toBe(true)
  })

  test('days become seconds', () => {
    const config = loadConfig({ SESSION_IDLE_DAYS: '1', SESSION_ABSOLUTE_DAYS: '365' })
    expect(config).toMatchObject({ sessionIdleSeconds: 86_400, sessionAbsoluteSeconds: 31_536_000 })
    expect(isRefused('SESSION_ABSOLUTE_DAYS', '366')).toBe(true)
    expect(isRefused('SESSION_IDLE_DAYS', '0')).toBe(true)
  })
})

describe('words', () => {
  test.each([
    ['SIGNING_ALGORITHM', 'es256'],
    ['SIGNING_ALGORITHM', 'HS256'],
    ['LOG_LEVEL', 'INFO'],
    ['DATABASE_PREPARED_STATEMENTS', '1'],
    ['ALLOW_PLAINTEXT_STORES', 'yes'],
    ['HOST', '127.0.0.1:80'],
    ['HOST', '[::1]'],
    ['HOST', 'a b'],
  ])('%s does not take %j', (name, text) => {
    expect(isRefused(name, text)).toBe(true)
  })

  test('true and false are taken as such', () => {
    expect(loadConfig({ DATABASE_PREPARED_STATEMENTS: 'false' }).databasePreparedStatements).toBe(
      false,
    )
    expect(loadConfig({ DATABASE_PREPARED_STATEMENTS: 'true' }).databasePreparedStatements).toBe(
      true,
    )
  })
})

describe('the issuer', () => {
  test.each([
    ...'https://a.example/ https://a.example/path/ https://a.example?x=1'.split(' '),
    ...'https://a.example#x https://a.example? https://user@a.example'.split(' '),
    ...'https://a.example/x/../y https://a.example/100%ab https://a.example/50%'.split(' '),
    ...'ftp://a.example a.example https:// https://a.example//b'.split(' '),
    ...'https://a.example/a%20b https://a.example/:id https://a.example/a;b'.split(' '),
    ...'https://a.example/ü'.split(' '),
    'https://a.example\\b',
    ' https://a.example',
    'https://a.exa\nmple',
  ])('R92: %j is refused as issuer', (text) => {
    expect(isRefused('ISSUER', text)).toBe(true)
  })

  test.each([
    'https://a.example',
    'https://a.example/tenant',
    'https://a.example/v1.0/a_b-c~',
    'http://localhost:3000',
  ])('R92: %j is an issuer and stays as written', (text) => {
    expect(loadConfig({ ISSUER: text }).issuer).toBe(text)
  })
})

describe('the domain of the session cookie', () => {
  const accepted = (domain: string, issuer = `https://auth.${domain}`) =>
    loadConfig({ COOKIE_DOMAIN: domain, ISSUER: issuer }).cookieDomain

  test.each([
    ...'com co.uk github.io kawasaki.jp localhost 127.0.0.1 [::1] .example.com'.split(' '),
    ...'example.com. Example.com exa_mple.com exämple.com *.example.com'.split(' '),
    ...'https://example.com example.com:443 example.com/ a..com -a.com'.split(' '),
  ])('R50: %j is refused', (text) => {
    expect(
      configErrorOf({ COOKIE_DOMAIN: text, ISSUER: 'https://auth.example.com' }).problems,
    ).toEqual([expect.objectContaining({ name: 'COOKIE_DOMAIN' })])
  })

  test.each([
    'example.com',
    'apps.example.co.uk',
    'me.github.io',
    'corp.internal',
    'xn--exmple-cua.com',
  ])('%j is a domain of one owner', (domain) => {
    expect(accepted(domain)).toBe(domain)
    expect(accepted(domain, `https://${domain}`)).toBe(domain)
  })

  test.each([
    'https://example.org',
    'https://notexample.com',
    'https://example.com.evil.example',
    'http://auth.example.com',
    'https://com',
  ])(
    'R50: the issuer %j is not at or below it, or has no TLS: browsers would refuse the cookie',
    (issuer) => {
      const problems = configErrorOf({ COOKIE_DOMAIN: 'example.com', ISSUER: issuer }).problems
      expect(problems.map(({ name }) => name)).toEqual(['COOKIE_DOMAIN'])
      expect(isRefused('COOKIE_DOMAIN', 'example.com')).toBe(true)
    },
  )

  test('hosts to return to are below it, with a port if need be', () => {
    const environment = { COOKIE_DOMAIN: 'example.com', ISSUER: 'https://auth.example.com' }
    const hosts = 'wiki.example.com, example.com, shop.example.com:8443'
    expect(loadConfig({ ...environment, RETURN_HOSTS: hosts }).returnHosts).toEqual(
      hosts.split(', '),
    )
    for (const host of [
      'wiki.example.org',
      'Wiki.example.com',
      'https://wiki.example.com',
      'wiki.example.com:443',
    ]) {
      const { problems } = configErrorOf({ ...environment, RETURN_HOSTS: host })
      expect(
        problems.map(({ name }) => name),
        host,
      ).toEqual(['RETURN_HOSTS'])
    }
    expect(isRefused('RETURN_HOSTS', 'wiki.example.com')).toBe(true)
  })
})

describe('the name and the logo of the service', () => {
  test.each(['Acme', 'Ärzte & Co', '株式会社', 'x'.repeat(60)])('%j is a name', (text) => {
    expect(loadConfig({ SERVICE_NAME: text }).serviceName).toBe(text)
  })

  test.each([' Acme', 'Acme ', 'A\ncme', 'A\u202ecme', 'x'.repeat(61)])('%j is none', (text) => {
    expect(isRefused('SERVICE_NAME', text)).toBe(true)
  })

  test('a logo is a file of a kind that browsers show', () => {
    expect(loadConfig({ SERVICE_LOGO_FILE: '/x/logo.SVG' }).serviceLogo).toBe('/x/logo.SVG')
    for (const text of ['/x/logo', '/x/logo.html', 'https://a.example/logo']) {
      expect(isRefused('SERVICE_LOGO_FILE', text), text).toBe(true)
    }
  })
})

describe('lists', () => {
  test.each([
    ...'https://a.example/ https://a.example/path https://A.example'.split(' '),
    ...'https://a.example:443 https://*.example null * a.example file:// app://*'.split(' '),
    ...'capacitor://localhost/ https://a.example,'.split(' '),
    ...'https://a.example,,https://b.example https://a.example,https://a.example'.split(' '),
  ])('R66: %j is not a list of exact origins', (text) => {
    expect(isRefused('ALLOWED_ORIGINS', text)).toBe(true)
  })

  test('origins are kept as written, blanks around commas ignored', () => {
    const config = loadConfig({ ALLOWED_ORIGINS: 'https://a.example, http://localhost:5173' })
    expect(config.allowedOrigins).toEqual(['https://a.example', 'http://localhost:5173'])
  })

  test('R66: the origin of an app in a webview is one', () => {
    const apps = ['capacitor://localhost', 'tauri://localhost', 'app://bundle']
    expect(loadConfig({ ALLOWED_ORIGINS: apps.join() }).allowedOrigins).toEqual(apps)
  })

  test.each([
    ...'0.0.0.0/0 ::/0 10.0.0.0/33 fd00::/129 10.0.0.0/ 10.0.0.0/8/8 10.0.0.0/08'.split(' '),
    ...'10.0.0 010.0.0.1 fe80::1%eth0 ::ffff:10.0.0.1 loopback proxy.internal true 1'.split(' '),
  ])('R59: %j names no proxy', (text) => {
    expect(isRefused('TRUSTED_PROXIES', text)).toBe(true)
  })

  test('R59: proxies become ranges, a plain address the range of itself', () => {
    const config = loadConfig({ TRUSTED_PROXIES: '10.0.0.7,192.168.0.0/16,::1,fd00::/8' })
    expect(config.trustedProxies).toEqual(['10.0.0.7/32', '192.168.0.0/16', '::1/128', 'fd00::/8'])
  })

  test('the first audience is the default one; a colon makes it a URI', () => {
    const config = loadConfig({ AUDIENCE: 'orders,https://api.example/v1' })
    expect(config.audiences).toEqual(['orders', 'https://api.example/v1'])
    expect(isRefused('AUDIENCE', 'two words')).toBe(true)
    expect(isRefused('AUDIENCE', '://x')).toBe(true)
    expect(isRefused('AUDIENCE', 'a'.repeat(256))).toBe(true)
  })
})
