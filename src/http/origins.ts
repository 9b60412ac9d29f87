/**
 * The web origins whose pages may send unsafe requests and read answers: the issuer's own and those configured.
 * Compared as whole strings; there are no patterns, since a pattern that is a little too wide is found by an attacker.
 *
 * @throws {TypeError} for an entry that is not an origin (`https://app.example.com`): so never `null`, never `*`
 */
export const originList = (
  issuer: string,
  allowedOrigins: readonly string[],
): ReadonlySet<string> => {
  for (const origin of allowedOrigins) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new TypeError(`not a web origin: ${origin}`)
    }
  }
  return new Set([new URL(issuer).origin, ...allowedOrigins])
}
