import { httpErrors } from '../../http/errors.ts'

/**
 * RFC 6749 section 2.3: one way of authenticating a request. The header is ours; a second one could name somebody else, and a secret in
 * a body ends in logs of bodies.
 * @throws invalid_request
 */
export const refuseBodyCredentials = (body: {
  readonly client_secret?: string
  readonly client_assertion?: string
}): void => {
  if (body.client_secret !== undefined || body.client_assertion !== undefined) {
    throw httpErrors.error('invalid_request', {
      detail: 'The client authenticates with the Authorization header only.',
    })
  }
}
