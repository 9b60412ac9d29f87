import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  type ConfigError,
  configWarnings,
  type Environment,
  loadConfig,
  misspeltSettings,
} from '../../src/config/index.ts'
import { configErrorOf, problemsOf, production, randomSecret } from './environments.ts'

/** Of login shells, desktops, systemd, Docker, Kubernetes, GitHub Actions, npm, proxies, Postgres, Redis and locales. */
const usualVariables =
  `PATH HOME USER USERNAME LOGNAME SHELL PWD OLDPWD TERM LANG LANGUAGE LC_ALL LC_CTYPE TZ TMPDIR TEMP TMP EDITOR VISUAL PAGER MAIL
  HOSTNAME HOSTTYPE OSTYPE MACHTYPE SHLVL PS1 IFS COLUMNS LINES DISPLAY SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY LS_COLORS
  XDG_RUNTIME_DIR XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_DIRS XDG_CONFIG_HOME XDG_CACHE_HOME XDG_SESSION_ID DBUS_SESSION_BUS_ADDRESS
  INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET MAINPID CREDENTIALS_DIRECTORY STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY
  KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT CARDEA_SERVICE_HOST CARDEA_SERVICE_PORT CARDEA_PORT POD_NAME POD_IP
  NODE_NAME NODE_PATH NODE_OPTIONS NODE_VERSION NODE_EXTRA_CA_CERTS YARN_VERSION INIT_CWD UV_THREADPOOL_SIZE
  HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR CI GITHUB_ACTIONS GITHUB_TOKEN RUNNER_OS DEBUG FORCE_COLOR NO_COLOR
  PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_HOST POSTGRES_PORT
  DB_HOST DB_PORT DB_USER DB_NAME DB_PASSWORD DATABASE_HOST DATABASE_PORT DATABASE_NAME DATABASE_PASSWORD TEST_DATABASE_URL
  REDIS_HOST REDIS_PORT REDIS_PASSWORD SMTP_URL SECRET_KEY JWT_SECRET SESSION_SECRET COOKIE_SECRET BASE_URL APP_ENV LOG_FORMAT SENTRY_DSN
  HOST_IP MOST POST COST SORT MEMORY_LIMIT`.split(/\s+/)

describe('defaults', () => {
  test('an empty environment gives a development configuration that needs nothing installed', () => {
    const config = loadConfig({})
    expect(config).toMatchObject({
      production: false,
      host: '127.0.0.1',
      port: 8088,
      dataDir: resolve('.data'),
      databaseUrl: undefined,
      redisUrl: undefined,
      secrets: undefined,
      issuer: 'http://127.0.0.1:8088',
      audiences: ['http://127.0.0.1:8088'],
      trustedProxies: [],
      accessTokenSeconds: 900,
      sessionIdleSeconds: 14 * 24 * 3600,
      sessionAbsoluteSeconds: 30 * 24 * 3600,
      logLevel: 'info',
    })
    expect(config.hashConcurrency).toBeGreaterThanOrEqual(1)
  })

  test('an empty variable counts as unset, also where production demands one', () => {
    expect(loadConfig({ PORT: '', ISSUER: '', NODE_ENV: '' })).toEqual(loadConfig({}))
    expect(problemsOf({ ...production(), REDIS_URL: '' })).toEqual([
      'REDIS_URL is missing: production requires it',
    ])
  })

  test.each([
    [{ HOST: '0.0.0.0', PORT: '9000' }, 'http://127.0.0.1:9000'],
    [{ HOST: '::' }, 'http://127.0.0.1:8088'],
    [{ HOST: '::1' }, 'http://[::1]:8088'],
    [{ HOST: 'localhost' }, 'http://localhost:8088'],
  ])('the default issuer is an address that this machine can call (%j)', (environment, issuer) => {
    expect(loadConfig(environment).issuer).toBe(issuer)
  })

  test('a relative data folder becomes absolute', () => {
    expect(loadConfig({ DATA_DIR: 'var/cardea' }).dataDir).toBe(resolve('var/cardea'))
  })

  test('the configuration and its lists cannot be changed afterwards', () => {
    const config = loadConfig({ ALLOWED_ORIGINS: 'https://a.example' })
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.values(config).filter((value) => !Object.isFrozen(value))).toEqual([])
  })
})

describe('production', () => {
  test('R129: production demands the stores, the issuer and the secret, all named at once', () => {
    expect(problemsOf({ NODE_ENV: 'production' })).toEqual([
      'ISSUER is missing: production requires it',
      'DATABASE_URL is missing: production requires it',
      'REDIS_URL is missing: production requires it',
      'CARDEA_SECRET is missing: production requires it',
    ])
  })

  test('a complete production environment is accepted as it stands', () => {
    const environment = production()
    expect(loadConfig(environment)).toMatchObject({
      production: true,
      issuer: environment.ISSUER,
      databaseUrl: environment.DATABASE_URL,
      redisUrl: environment.REDIS_URL,
      secrets: [environment.CARDEA_SECRET],
    })
  })

  test('a misspelt NODE_ENV is an error and never quietly development', () => {
    expect(problemsOf({ NODE_ENV: 'prod' })).toEqual([
      'NODE_ENV must be one of: development, test, production',
    ])
  })

  test('R92: the issuer must be https in production and is kept byte for byte', () => {
    const issuer = 'https://Login.Example.org:443/cardea'
    expect(loadConfig({ ...production(), ISSUER: issuer }).issuer).toBe(issuer)
    expect(problemsOf({ ...production(), ISSUER: 'http://login.example.org' })).toEqual([
      'ISSUER must begin with https:// in production',
    ])
  })

  test.each([
    ['a placeholder', 'changeme-changeme-changeme-changeme!'],
    ['a placeholder in capitals', 'PLEASE_CHANGE_ME_0a1b2c3d4e5f6g7h8i9j'],
    ['one character over and over', 'x'.repeat(40)],
    ['two characters over and over', 'ab'.repeat(20)],
    ['a pattern over and over', '0f1e2d3c4b5a6978'.repeat(2)],
    ['the alphabet', 'abcdefghijklmnopqrstuvwxyz123456'],
  ])('R129: %s is no secret in production, in any place of the list', (_what, secret) => {
    const problem = (name: string) => [
      `${name} contains a well-known or repeated text: make one with "openssl rand -base64 32" (in production)`,
    ]
    const list = `${randomSecret()},${secret}`
    expect(problemsOf({ ...production(), CARDEA_SECRET: list })).toEqual(problem('CARDEA_SECRET'))
    expect(problemsOf({ ...production(), PASSWORD_PEPPER: secret })).toEqual(
      problem('PASSWORD_PEPPER'),
    )
    expect(loadConfig({ CARDEA_SECRET: list }).secrets).toEqual(list.split(','))
  })
})

describe('secrets', () => {
  test('R129: a secret shorter than 32 bytes is refused in development too', () => {
    const short = randomSecret().slice(0, 31)
    expect(problemsOf({ CARDEA_SECRET: `${randomSecret()},${short}` })).toEqual([
      'CARDEA_SECRET item 2 is shorter than 32 bytes',
    ])
    expect(loadConfig({ CARDEA_SECRET: `${short}+` }).secrets).toEqual([`${short}+`])
  })

  test('several secrets keep their order: the first makes, all verify', () => {
    const list = [randomSecret(), randomSecret(), randomSecret()]
    expect(loadConfig({ CARDEA_SECRET: list.join(', ') }).secrets).toEqual(list)
  })

  test('R91: a pepper that is also a secret is refused', () => {
    const shared = randomSecret()
    expect(
      problemsOf({ CARDEA_SECRET: shared, PASSWORD_PEPPER: `${randomSecret()},${shared}` }),
    ).toEqual(['PASSWORD_PEPPER must not repeat a secret of CARDEA_SECRET'])
  })
})

describe('rules over several settings', () => {
  test('a session cannot end absolutely before it may be idle', () => {
    expect(problemsOf({ SESSION_IDLE_DAYS: '20', SESSION_ABSOLUTE_DAYS: '19' })).toEqual([
      'SESSION_ABSOLUTE_DAYS must be at least SESSION_IDLE_DAYS',
    ])
    const same = loadConfig({ SESSION_IDLE_DAYS: '20', SESSION_ABSOLUTE_DAYS: '20' })
    expect(same.sessionAbsoluteSeconds).toBe(same.sessionIdleSeconds)
  })

  test('a grace is longer than a statement can take, or off', () => {
    const problem =
      'REFRESH_GRACE_SECONDS must be 0, or longer than DATABASE_CONNECT_TIMEOUT_MS and DATABASE_STATEMENT_TIMEOUT_MS together'
    const slow = { DATABASE_CONNECT_TIMEOUT_MS: '4000', DATABASE_STATEMENT_TIMEOUT_MS: '6000' }
    expect(problemsOf({ ...slow, REFRESH_GRACE_SECONDS: '10' })).toEqual([problem])
    expect(loadConfig({ ...slow, REFRESH_GRACE_SECONDS: '11' }).refreshGraceSeconds).toBe(11)
    expect(problemsOf({ ...slow, REFRESH_GRACE_SECONDS: '0' })).toEqual([
      'REFRESH_GRACE_SECONDS must be above 0 unless REFRESH_LOST_RESPONSE is end',
    ])
    const strict = { ...slow, REFRESH_GRACE_SECONDS: '0', REFRESH_LOST_RESPONSE: 'end' }
    expect(loadConfig(strict).refreshGraceSeconds).toBe(0)
  })

  test('every problem is told at once, each variable for its own fault', () => {
    const environment = { NODE_ENV: 'production', PORT: '80a', LOG_LEVEL: 'loud', REDIS_URL: 'x' }
    const names = configErrorOf(environment).problems.map((problem) => problem.name)
    expect(names.toSorted()).toEqual(
      ['CARDEA_SECRET', 'DATABASE_URL', 'ISSUER', 'LOG_LEVEL', 'PORT', 'REDIS_URL'].toSorted(),
    )
  })

  test.each([
    ['/none/logo.svg', 'cannot be read (ENOENT)'],
    ['logo.bmp', 'must name a file that ends in .svg, .png, .webp, .jpg, .jpeg or .gif'],
  ])('a logo %s that the service cannot show is told with every other problem', (logo, message) => {
    const environment = { PORT: 'x', SERVICE_LOGO_FILE: logo }
    expect(problemsOf(environment, { checksFiles: true })).toEqual([
      'PORT must be a whole number, 0 to 65535',
      `SERVICE_LOGO_FILE ${message}`,
    ])
  })

  test('a command does not read the logo, which may not be there where it runs', () => {
    expect(loadConfig({ SERVICE_LOGO_FILE: 'none.svg' }).serviceLogo).toBe('none.svg')
  })
})

describe('the error', () => {
  test('its message lists every problem on a line of its own', () => {
    const error: ConfigError = configErrorOf({ PORT: 'x', LOG_LEVEL: 'x' })
    expect(error.message.split('\n')).toEqual([
      'settings are missing or bad:',
      '  PORT must be a whole number, 0 to 65535',
      '  LOG_LEVEL must be one of: fatal, error, warn, info, debug, trace, silent',
    ])
  })
})

describe('misspelt settings', () => {
  const namesOf = (environment: Environment) =>
    misspeltSettings(environment).map(({ name }) => name)

  test.each([
    ['ISUER', 'ISSUER'],
    ['TRUSTED_PROXY', 'TRUSTED_PROXIES'],
    ['CARDEA_SECRETS', 'CARDEA_SECRET'],
    ['CARDEA_SECRET_FILES', 'CARDEA_SECRET_FILE'],
    ['ALLOWED_ORIGIN', 'ALLOWED_ORIGINS'],
    ['COOKIE_DOMIAN', 'COOKIE_DOMAIN'],
    ['DATABASE_URI', 'DATABASE_URL'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    ['PORTS', 'PORT'],
  ])('%s is taken for %s, and its value is not shown', (name, meant) => {
    expect(misspeltSettings({ [name]: 'a-value' })).toEqual([
      { name, message: `is not a setting: did you mean ${meant}?` },
    ])
  })

  test('one that is set is not meant, nor is an empty variable', () => {
    const issuer = 'https://login.example.org'
    expect(namesOf({ ISUER: issuer, ISSUER: issuer })).toEqual([])
    expect(namesOf({ CARDEA_SECRETS: 'x', CARDEA_SECRET_FILE: '/run/secrets/one' })).toEqual([])
    expect(namesOf({ ISUER: '' })).toEqual([])
  })

  test('the environment of a shell, a container, a CI job or another program is no mistake', () => {
    expect(namesOf(Object.fromEntries(usualVariables.map((name) => [name, 'x'])))).toEqual([])
    expect(namesOf({ ...production(), HOME: '/', USER: 'cardea' })).toEqual([])
  })

  test('a misspelt one is told with the problems that it leads to', () => {
    const { ISSUER: ISUER, ...others } = production()
    expect(problemsOf({ ...others, ISUER })).toEqual([
      'ISSUER is missing: production requires it',
      'ISUER is not a setting: did you mean ISSUER?',
    ])
  })
})

describe('warnings', () => {
  const warningsOf = (environment: Environment): string[] => configWarnings(loadConfig(environment))

  test('a cookie of a domain is worth knowing at every start, in development too', () => {
    const environment = { COOKIE_DOMAIN: 'example.com', ISSUER: 'https://auth.example.com' }
    const warnings = [environment, { ...production(), ...environment }].flatMap(warningsOf)
    // In development nobody has to name a proxy, and then it does not say which page was wanted.
    expect(warnings.filter((text) => text.includes('TRUSTED_PROXIES is empty'))).toHaveLength(1)
    const ofCookies = warnings.filter((text) => text.includes('every host below'))
    expect(ofCookies).toHaveLength(2)
    for (const warning of ofCookies) {
      expect(warning).toContain('every host below example.com can read and set the session cookie')
    }
  })

  test('a sound configuration gives none', () => {
    expect(warningsOf({})).toEqual([])
    expect(warningsOf(production())).toEqual([])
  })

  test.each([
    [{ ALLOW_PLAINTEXT_STORES: 'true' }, 'ALLOW_PLAINTEXT_STORES'],
    [{ TRUSTED_PROXIES: '' }, 'TRUSTED_PROXIES'],
    [{ HOST: '0.0.0.0', TRUSTED_PROXIES: '' }, 'TRUSTED_PROXIES'],
    [{ ALLOWED_ORIGINS: 'http://app.example.com' }, 'ALLOWED_ORIGINS'],
  ])('R124: %j in production is told at every start', (changed, name) => {
    const warnings = warningsOf({ ...production(), ...changed })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(name)
  })

  test('a port chosen by the machine without an issuer is told', () => {
    expect(warningsOf({ PORT: '0' })).toHaveLength(1)
    expect(warningsOf({ PORT: '0', ISSUER: 'http://127.0.0.1' })).toEqual([])
  })
})
