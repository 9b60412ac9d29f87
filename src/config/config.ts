/** What the environment says, checked and frozen. Holds secrets: never log it. */
export type Config = {
  readonly production: boolean
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Absolute. */
  readonly dataDir: string
  /** Undefined: the embedded Postgres; never in production. */
  readonly databaseUrl: string | undefined
  /** Undefined: migrations use `databaseUrl`. */
  readonly migrateDatabaseUrl: string | undefined
  /** Undefined: the driver in this process; never in production. */
  readonly redisUrl: string | undefined
  readonly allowPlaintextStores: boolean
  readonly databasePoolSize: number
  readonly databaseConnectTimeoutMs: number
  readonly databaseStartTimeoutSeconds: number
  readonly databaseStatementTimeoutMs: number
  readonly databasePreparedStatements: boolean
  readonly revokeOnDataLoss: boolean
  /** Byte for byte as set. */
  readonly issuer: string
  /** Never empty; the first is the default. `issuer` is accepted too, whether or not it stands here. */
  readonly audiences: readonly string[]
  readonly allowedOrigins: readonly string[]
  /** CIDR ranges; a plain address became a /32 or a /128. Empty: nobody is believed. */
  readonly trustedProxies: readonly string[]
  /** The first makes, all verify. Undefined: to be made and kept in `dataDir`; never in production. */
  readonly secrets: readonly string[] | undefined
  /** The first makes, all verify. Undefined: the one kept in `dataDir`, made there together with a secret; else none. */
  readonly passwordPeppers: readonly string[] | undefined
  readonly accessTokenSeconds: number
  readonly refreshGraceSeconds: number
  readonly refreshLostResponse: 'resume' | 'end'
  readonly sessionIdleSeconds: number
  /** At least `sessionIdleSeconds`. */
  readonly sessionAbsoluteSeconds: number
  readonly sessionsPerAccount: number
  readonly signingAlgorithm: 'ES256' | 'RS256' | 'Ed25519'
  readonly signingKeyRotationSeconds: number
  readonly passwordMinLength: number
  readonly hashConcurrency: number
  readonly hashQueue: number
  readonly loginFailuresPerSource: number
  readonly loginFailuresPerNetwork: number
  readonly loginFailuresGlobal: number
  readonly loggedActsPerAccount: number
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
}
