import { readBrand } from './brand.ts'
import {
  checkCookieSession,
  confirmRenewedCookie,
  cookieAuthentication,
  explainRefusedCookie,
  findCookieSession,
  issueCookie,
  issueRenewedCookie,
  replaceSessionData,
} from './cookie-sessions/index.ts'
import type { Core } from './core.ts'
import { checkAccess, formTokens, mintForUpstream, returnTokens } from './forward-auth/index.ts'
import type { HealthDeps } from './health/index.ts'
import type { AccessOptions, Caller } from './http/access.ts'
import { basePathOf } from './http/base-path.ts'
import { trustedPeers } from './http/client-facts.ts'
import type { Log } from './http/log.ts'
import type { Brand } from './http/page.ts'
import type { Route } from './http/route.ts'
import { keyLabels, onceReadyToSign } from './keys/index.ts'
import {
  deviceTokens,
  firstParty,
  type Limits,
  type LogInInput,
  logIn,
  openLimits,
  reauthenticate,
} from './login/index.ts'
import {
  authenticateServiceClient,
  clientProofs,
  grantClientCredentials,
  grantRefreshToken,
  introspectToken,
  revokeToken,
} from './oauth/index.ts'
import { batchedRotations, isRevokedBy, refreshSession } from './refresh/index.ts'
import {
  bearerCheck,
  callerFrom,
  personBearerCheck,
  postgresTokenActivity,
} from './revocation/index.ts'
import { type RouteParts, routeTable } from './routes.ts'
import {
  endBrowserSessions,
  endCookieSession,
  endOwnSession,
  endOwnSessions,
  endPresentedSession,
  endReplacedSessions,
  handleCodec,
  issueTokens,
  logOut,
  type OpenedSession,
  openOnlySealable,
  openSession,
  operatorRightAt,
  ownerRightAt,
  sealedResponse,
} from './sessions/index.ts'
import { mintAccessToken, sealAccessToken } from './tokens/index.ts'

/**
 * Constructs the service on top of `core.ts`, in dependency order. This file contains no logic: it makes each part once and passes it by
 * name to the routes that use it (`routes.ts`).
 */

export type Service = {
  /** How the HTTP server authenticates callers. */
  readonly access: AccessOptions
  /** The name and the logo on the pages. */
  readonly brand: Brand
  readonly routes: readonly Route[]
  /** Logged at the start. */
  readonly warnings: readonly string[]
}

/** Access tokens and session handles: how they are made and how they are checked. */
const composeTokens = ({ config, machine, ring, database, keys, revocations }: Core) => {
  const { clock, random } = machine
  const { issuer } = config
  const audiences = [...config.audiences, issuer]
  const mint = mintAccessToken({ ...config, clock, random, signer: keys.signer })
  const handles = handleCodec(ring.derive(keyLabels.refreshHandle))
  const check = bearerCheck({
    clock,
    issuer,
    audiences,
    verificationKey: keys.verificationKey,
    replica: revocations.replica,
    isTokenActive: postgresTokenActivity(database),
  })
  const checkPerson = personBearerCheck(check)
  const issuing = { clock, codec: handles, mint, settings: config }
  return {
    mint,
    audiences,
    /** Of refresh tokens. */
    handles,
    /** Of session cookies. They have their own MAC key, so a refresh token is never accepted as a session cookie, nor the reverse. */
    cookieHandles: handleCodec(ring.derive(keyLabels.sessionHandle)),
    /** Of the tokens of users and of service clients. */
    check,
    checkPerson,
    authenticate: async (token: string): Promise<Caller> => callerFrom(await checkPerson(token)),
    /** For a session that was just opened. */
    issue: ({ facts, secret }: Pick<OpenedSession, 'facts' | 'secret'>) => {
      const { audience, authenticatedAtMs: factsReadAtMs } = facts
      return issueTokens(issuing, facts, secret, { audience, factsReadAtMs })
    },
    respondSealed: sealedResponse(sealAccessToken(ring)),
  }
}

type Tokens = ReturnType<typeof composeTokens>

/** Lookup and issue of session cookies. */
const composeCookies = (core: Core, { cookieHandles: codec }: Tokens) => {
  const { machine, revocations, stores, inTransaction, cookieSessions } = core
  const { clock, report } = machine
  const { store, cache, invalidator, uses } = cookieSessions
  const check = checkCookieSession({
    clock,
    codec,
    replica: revocations.replica,
    isStoreThere: revocations.isLogReadable,
    sessions: store,
    cache,
    confirm: confirmRenewedCookie({ clock, inTransaction, invalidator }),
    onUse: uses.note,
    onError: (error) => report(error, 'a session was not cached'),
  })
  const explainRefused = explainRefusedCookie({
    clock,
    codec,
    inTransaction,
    sessions: stores.sessions,
    onError: (error) => report(error, 'why a session ended was not read'),
  })
  return {
    find: findCookieSession(check, explainRefused),
    authenticate: cookieAuthentication(check, explainRefused),
    issueCookie: ({ facts, absoluteExpiresAtMs, secret }: OpenedSession) =>
      issueCookie({ clock, codec }, { ...facts, absoluteExpiresAtMs }, secret),
    issueRenewed: issueRenewedCookie({ clock, codec }),
    replaceData: replaceSessionData({ clock, sessions: store, invalidator }),
  }
}

type Cookies = ReturnType<typeof composeCookies>

/** Login for all kinds of sessions, and reauthentication. */
const composeLogin = (core: Core, tokens: Tokens, cookies: Cookies, limits: Limits) => {
  const { config, machine, ring, stores, inTransaction, hasher, keys } = core
  const { clock, random } = machine
  const { issuer, audiences, sessionIdleSeconds: idleSeconds } = config
  const proving = {
    clock,
    hasher,
    inTransaction,
    accounts: stores.accounts,
    limits: limits.logins,
    spendAct: limits.spendAct,
    lookUps: limits.unproven.accountLookUps,
    records: limits.unproven.refusalRecords,
    devices: deviceTokens(ring.derive(keyLabels.device), random, clock),
  }
  const open = openSession(random, {
    idleSeconds,
    absoluteSeconds: config.sessionAbsoluteSeconds,
    browserSeconds: config.browserSessionSeconds,
    perAccount: config.sessionsPerAccount,
  })
  const openFor = logIn({
    ...proving,
    issuer,
    audiences,
    open: openOnlySealable(open, tokens.issue),
    endReplaced: endReplacedSessions({
      clock,
      sessionCodec: tokens.cookieHandles,
      refreshCodec: tokens.handles,
    }),
  })
  const openForTokens = onceReadyToSign(keys, openFor)
  return {
    // A cookie session needs no signing key.
    logIn: (input: LogInInput) => (input.kind === 'cookie' ? openFor(input) : openForTokens(input)),
    reauthenticate: reauthenticate({
      ...proving,
      issueRenewed: cookies.issueRenewed,
      idleSeconds,
      graceMs: config.refreshGraceSeconds * 1000,
    }),
  }
}

const composeRefresh = (core: Core, { handles, mint }: Tokens, { spendAct }: Limits) => {
  const { config, machine, stores, inTransaction, revocations, keys } = core
  const refresh = refreshSession({
    clock: machine.clock,
    codec: handles,
    mint,
    settings: config,
    idleSeconds: config.sessionIdleSeconds,
    rules: {
      graceMs: config.refreshGraceSeconds * 1000,
      lostResponse: config.refreshLostResponse,
    },
    sessions: stores.sessions,
    rotations: { ...stores.rotations, ...batchedRotations(core.database) },
    inTransaction,
    isRevoked: isRevokedBy(revocations.replica),
    mayRecord: (spender) =>
      spendAct(spender).then(
        () => true,
        () => false,
      ),
  })
  return onceReadyToSign(keys, refresh)
}

/** Authentication and tokens of service clients. */
const composeClients = (core: Core, tokens: Tokens, { spendAct, unproven }: Limits) => {
  const { config, machine, stores, keys, inTransaction, serviceClients } = core
  const { clock } = machine
  const { mint, check, audiences, handles: codec, cookieHandles: cookieCodec } = tokens
  const clients = serviceClients.store
  const proofs = clientProofs({ clock, strangers: unproven.clientLookUps })
  const grant = grantClientCredentials({ clock, clients, proofs, mint, audiences })
  const { sessions } = stores
  return {
    authenticateService: authenticateServiceClient({ clock, clients, proofs }),
    grantToClient: onceReadyToSign(keys, grant),
    introspect: introspectToken({ clock, check }),
    revoke: revokeToken({ clock, inTransaction, sessions, check, codec, cookieCodec, spendAct }),
    metadata: { issuer: config.issuer, algorithms: keys.algorithms },
  }
}

const healthOf = (core: Core, log: Log, stopping: AbortSignal | undefined): HealthDeps => {
  const { database, redis, revocations, dataLoss, machine } = core
  return {
    postgres: database.ping,
    isNotPrimary: database.isNotPrimary,
    redis,
    hasLostData: dataLoss.isUnanswered,
    knowsRevocations: () => revocations.replica.state() !== 'LOADING',
    dropsLogLines: log.isDropping,
    clock: machine.clock.agreement,
    isStopping: () => stopping?.aborted === true,
  }
}

type PageParts = Pick<RouteParts, 'forwardAuth' | 'loginPage' | 'logoutPage' | 'homePage'>

type PageDeps = {
  readonly brand: Brand
  readonly tokens: Tokens
  readonly cookies: Cookies
  readonly login: ReturnType<typeof composeLogin>
  readonly endings: Pick<RouteParts['logout'], 'endPresented' | 'endPresentedCookie'>
}

/** The forward-auth check for reverse proxies, and the HTML pages. */
const composePages = (core: Core, deps: PageDeps): PageParts => {
  const { brand, tokens, cookies, login, endings } = deps
  const { config, machine, ring, keys, stores, assertDatabaseUp } = core
  const { issuer, cookieDomain, returnHosts } = config
  const { clock, random } = machine
  const basePath = basePathOf(issuer)
  const returnRules = { basePath, ownHost: new URL(issuer).host, cookieDomain, returnHosts }
  const returns = returnTokens(ring.derive(keyLabels.returnAddress), clock, returnRules)
  const findCookieSession = cookies.find
  const page = { random, brand, basePath, returns, returnRules }
  const [firstAudience = issuer, ...others] = config.audiences
  return {
    forwardAuth: {
      check: checkAccess({
        clock,
        checkBearer: tokens.checkPerson,
        findCookieSession,
        isOwnHandle: (handle) => tokens.cookieHandles.read(handle) !== undefined,
        assertDatabaseUp,
        mintForUpstream: onceReadyToSign(keys, mintForUpstream(tokens.mint)),
        emailOf: async (accountId) => (await stores.accounts.find(accountId))?.email,
      }),
      returns,
      returnRules,
      // With a cookie domain, all hosts share one login page. Otherwise each host serves Cardea's paths, including its own login page.
      loginPage: `${cookieDomain === undefined ? basePath : issuer}/login`,
      isTrustedPeer: trustedPeers(config.trustedProxies),
      audiences: [firstAudience, ...others],
    },
    loginPage: {
      ...page,
      findCookieSession,
      logIn: login.logIn,
      issueCookie: cookies.issueCookie,
      reauthenticate: login.reauthenticate,
      forms: formTokens(ring.derive(keyLabels.loginForm)),
      // Sources for the content policy: the host that a login returns to, and the hosts that its start page redirects to.
      formTargets:
        cookieDomain === undefined
          ? []
          : [`https://${cookieDomain}:*`, `https://*.${cookieDomain}:*`],
    },
    logoutPage: {
      ...page,
      cookieDomain,
      forms: formTokens(ring.derive(keyLabels.logoutForm)),
      endBrowserSessions: endBrowserSessions(endings),
    },
    homePage: { ...page, findCookieSession },
  }
}

export function composeService(core: Core, log: Log, stopping?: AbortSignal): Service {
  const { config, machine, ring, redis, stores, inTransaction, keys, pseudonym } = core
  const { clock, report } = machine
  const { accounts, sessions, audit } = stores
  const identifierKey = ring.derive(keyLabels.limitIdentifier)[0].key
  const limits = openLimits({ settings: config, identifierKey, redis, clock, report })
  const tokens = composeTokens(core)
  const { authenticate, issue, respondSealed, handles, cookieHandles } = tokens
  const cookies = composeCookies(core, tokens)
  const { issueCookie, replaceData } = cookies
  const login = composeLogin(core, tokens, cookies, limits)
  const { logIn: logInPerson, reauthenticate: proveAgain } = login
  const refresh = composeRefresh(core, tokens, limits)
  const clients = composeClients(core, tokens, limits)
  const { authenticateService, grantToClient, introspect, revoke, metadata } = clients
  const ownerRight = ownerRightAt(config)
  const operatorRight = operatorRightAt(config.issuer)
  const brand = readBrand(config)
  const endings = {
    endPresented: endPresentedSession({ clock, codec: handles, inTransaction }),
    endPresentedCookie: endCookieSession({ clock, codec: cookieHandles, inTransaction }),
  }
  const endOne = endOwnSession({ clock, inTransaction })
  const endAll = endOwnSessions({ clock, inTransaction })
  const edge = { authenticateService, publicClientId: firstParty }
  const routes = routeTable({
    keys,
    metadata,
    health: healthOf(core, log, stopping),
    login: { logIn: logInPerson, issue, respondSealed, issueCookie },
    reauthenticate: { reauthenticate: proveAgain },
    refresh: { refresh, reference: pseudonym, log, respondSealed },
    logout: { ...endings, logOut: logOut({ clock, inTransaction }), authenticate, ownerRight },
    account: { accounts },
    ownSessions: { clock, codec: handles, sessions, endOne, endAll },
    cookieSession: { codec: cookieHandles, replaceData },
    token: {
      ...edge,
      log,
      reference: pseudonym,
      grantToClient,
      grantToHolder: grantRefreshToken({ refresh }),
    },
    introspect: { introspect },
    revoke: { ...edge, revoke },
    revocations: core.revocations,
    ...composePages(core, { brand, tokens, cookies, login, endings }),
    adminAccounts: {
      clock,
      accounts,
      sessions,
      audit,
      create: core.createAccount,
      change: core.changeAccount,
    },
    adminRevoke: { revoke: core.revoke },
    adminClients: core.serviceClients,
  })
  const authenticateCookie = cookies.authenticate
  return {
    access: { authenticate, authenticateCookie, operatorRight, ownerRight, authenticateService },
    brand,
    routes,
    warnings: keys.warnings(),
  }
}
