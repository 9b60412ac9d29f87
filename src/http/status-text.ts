/**
 * The phrase of an HTTP status (RFC 9110 section 15); none for a status that has none. Not by an import: that would load whatever
 * `node:http` can give, `WebSocket` and with it a whole HTTP client among them, 4 MB in every process.
 */
export const statusText = (status: number): string | undefined =>
  process.getBuiltinModule('node:http').STATUS_CODES[status]
