/** A service client of Cardea. */
export type ClientCredential = { readonly id: string; readonly secret: string }

/** HTTP Basic as OAuth clients use it: id and secret form-encoded first, so that a colon in the id ends nothing (RFC 6749 section 2.3.1). */
export const basicAuth = ({ id, secret }: ClientCredential): string =>
  `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`
