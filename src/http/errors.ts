import { defineErrors } from '../lib/app-error.ts'

/** What can be wrong with a request before any feature sees it. */
export const httpErrors = defineErrors({
  invalid_request: {
    status: 400,
    title: 'The request does not have the form this endpoint asks for.',
  },
  duplicate_cookie: { status: 400, title: 'A cookie of this service was sent more than once.' },
  missing_token: { status: 401, title: 'This endpoint needs an access token.' },
  missing_session: { status: 401, title: 'This endpoint needs a session cookie.' },
  missing_credentials: {
    status: 401,
    title: 'This endpoint needs the credentials of a service client.',
  },
  invalid_client: {
    status: 401,
    title: 'These are not the credentials of a service client that may call.',
  },
  insufficient_scope: { status: 403, title: 'The access token does not allow this.' },
  forbidden_origin: { status: 403, title: 'Requests from this web origin are not allowed.' },
  https_required: { status: 403, title: 'This service is reached over HTTPS only.' },
  not_found: { status: 404, title: 'There is nothing at this address.' },
  method_not_allowed: { status: 405, title: 'This address does not answer to this method.' },
  request_timeout: { status: 408, title: 'The request did not arrive in time.' },
  payload_too_large: { status: 413, title: 'The request body is too large.' },
  uri_too_long: { status: 414, title: 'The request address is too long.' },
  unsupported_media_type: {
    status: 415,
    title: 'The request must be application/json in UTF-8, not compressed.',
  },
  expectation_failed: { status: 417, title: 'The expectation of the request cannot be met.' },
  headers_too_large: { status: 431, title: 'The request headers are too large.' },
  internal_error: { status: 500, title: 'Something went wrong inside the service.' },
  service_unavailable: {
    status: 503,
    title: 'The service cannot answer this request now. Try again.',
  },
})
