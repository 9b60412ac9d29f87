/**
 * The exact reason why a token is refused: the `cause` of a `VerifierError`, for the log. It contains nothing of the token except the start
 * of its `iss` or `aud`.
 */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused'
}
