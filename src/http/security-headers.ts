import type { OnEveryRequest } from './on-every-request.ts'

/**
 * Sent with every answer (OWASP ASVS 5.0, 3.4.1 and 3.4.3-3.4.6). Answers here are data, never pages, so the content
 * policy allows nothing: should a browser ever render one, it runs and loads nothing and cannot be framed.
 */
export const securityHeaders = {
  'strict-transport-security': 'max-age=63072000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'same-origin',
  // Answers carry tokens and personal data. Public documents overwrite this one in their handlers.
  'cache-control': 'no-store',
} as const

/** Set before anything can fail, so that errors carry them too. */
export const addSecurityHeaders: OnEveryRequest = (_request, reply) => {
  reply.headers(securityHeaders)
}
