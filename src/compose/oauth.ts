import type { Log } from '../http/log.ts'
import { firstParty } from '../login/index.ts'
import {
  authenticateServiceClient,
  clientProofs,
  grantClientCredentials,
  grantRefreshToken,
  introspectRoutes,
  introspectToken,
  metadataRoutes,
  revokeRoutes,
  revokeToken,
  tokenRoutes,
} from '../oauth/index.ts'
import type { CheckBearer } from '../revocation/index.ts'
import type { HandleCodec, refreshSession } from '../sessions/index.ts'
import type { MintAccessToken } from '../tokens/index.ts'
import type { Core } from './core.ts'
import type { Limits } from './limits.ts'
import { onceReadyToSign } from './once-ready-to-sign.ts'

export type OauthParts = {
  readonly log: Log
  readonly mint: MintAccessToken
  /** Of tokens of people and of services. */
  readonly check: CheckBearer
  /** Ready to sign before it consumes anything. */
  readonly refresh: ReturnType<typeof refreshSession>
  /** Of refresh tokens and of session cookies. */
  readonly codec: HandleCodec
  readonly cookieCodec: HandleCodec
  readonly limits: Limits
}

/** Who a service client is, and the routes that speak OAuth. */
export const composeOauth = (core: Core, parts: OauthParts) => {
  const { log, mint, check, refresh, codec, cookieCodec, limits } = parts
  const { config, machine, stores, keys, reference, inTransaction } = core
  const { clock } = machine
  const { issuer } = config
  const clients = core.serviceClients.store
  const proofs = clientProofs({ clock, strangers: limits.unproven.clientLookUps })
  const authenticateService = authenticateServiceClient({ clock, clients, proofs })
  const edge = { authenticateService, publicClientId: firstParty }
  const grantToClient = grantClientCredentials({
    clock,
    clients,
    proofs,
    mint,
    audiences: [...config.audiences, issuer],
  })
  const revoke = revokeToken({
    clock,
    inTransaction,
    sessions: stores.sessions,
    check,
    codec,
    cookieCodec,
    spendAct: limits.spendAct,
  })
  return {
    authenticateService,
    routes: [
      metadataRoutes({ issuer }),
      introspectRoutes({ introspect: introspectToken({ clock, check }) }),
      tokenRoutes({
        ...edge,
        reference,
        log,
        grantToClient: onceReadyToSign(keys, grantToClient),
        grantToHolder: grantRefreshToken({ refresh }),
      }),
      revokeRoutes({ ...edge, revoke }),
    ],
  }
}
