import {
  checkAccess,
  formTokens,
  forwardAuthRoutes,
  loginPageRoutes,
  mintForUpstream,
  returnTokens,
} from '../forward-auth/index.ts'
import { trustedPeers } from '../http/trusted-peers.ts'
import { keyLabels } from '../keys/index.ts'
import type { LoginRouteDeps, ReauthenticateRouteDeps } from '../login/index.ts'
import type { CheckBearer } from '../revocation/index.ts'
import type { CheckCookieSession } from '../sessions/index.ts'
import type { mintAccessToken } from '../tokens/index.ts'
import type { Core } from './core.ts'
import { onceReadyToSign } from './once-ready-to-sign.ts'

export type ForwardAuthParts = {
  readonly checkBearer: CheckBearer
  readonly checkCookieSession: CheckCookieSession
  readonly mint: ReturnType<typeof mintAccessToken>
  /** What `POST /login` and `POST /session/reauthenticate` sign in with. */
  readonly signIn: Pick<LoginRouteDeps, 'logIn' | 'issueCookie'> & ReauthenticateRouteDeps
}

/** What a reverse proxy asks, and the page that it sends people to. */
export const composeForwardAuth = (
  { config, machine, ring, keys, demandPostgres }: Core,
  { checkBearer, checkCookieSession, mint, signIn }: ForwardAuthParts,
) => {
  const { clock, random } = machine
  const [firstAudience = config.issuer, ...others] = config.audiences
  const returns = returnTokens(ring.derive(keyLabels.returnAddress), clock)
  return [
    forwardAuthRoutes({
      check: checkAccess({
        clock,
        checkBearer,
        checkCookieSession,
        demandPostgres,
        mintForUpstream: onceReadyToSign(keys, mintForUpstream(mint)),
      }),
      returns,
      isTrustedPeer: trustedPeers(config.trustedProxies),
      audiences: [firstAudience, ...others],
    }),
    loginPageRoutes({
      ...signIn,
      returns,
      checkCookieSession,
      forms: formTokens(ring.derive(keyLabels.loginForm)),
      random,
    }),
  ]
}
