/** The exact reason why a token is refused: the `cause` of a `VerifierError`, for the log. Holds nothing of the token. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused'
}
