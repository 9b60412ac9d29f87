/** The facts of a verified token that decide whether it is revoked; never the bytes of the token. */
export type RevocationFacts = {
  readonly jti: string
  readonly sid: string
  readonly sub: string
  readonly kid: string
  /** Epochs: global, account, claims. */
  readonly aep: readonly [global: number, account: number, claims: number]
}
