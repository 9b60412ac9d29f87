/** The exact reason why a token is refused: the `cause` of a `VerifierError`, for the log. Holds nothing of the token but the start of its `iss` or `aud`. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused'
}
