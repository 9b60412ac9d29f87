import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './on-every-request.ts'

/**
 * Refuses requests that did not come over TLS, by the word of a trusted proxy. No redirect: the client has sent its
 * secret in the clear already, and a redirect would hide that. Health checks come from inside and carry nothing.
 */
export const requireHttps: OnEveryRequest = (request) => {
  if (request.protocol === 'https' || request.url.startsWith('/health/')) return
  throw httpErrors.error('https_required')
}
