import { defineErrors } from '../lib/app-error.ts'

/** Why something asked of a service client, or by one, was refused. */
export const oauthErrors = defineErrors({
  invalid_client_name: { status: 400, title: 'The name of the service client cannot be used.' },
  invalid_client_scope: {
    status: 400,
    title: 'The scopes of the service client cannot be used.',
  },
  unknown_client_audience: {
    status: 400,
    title: 'This service issues no tokens for one of these audiences.',
  },
  invalid_client_owner: { status: 400, title: 'The owner must be an active account.' },
  client_not_found: { status: 404, title: 'There is no such service client.' },
  client_secret_not_found: { status: 404, title: 'The service client has no such secret.' },
  client_name_taken: { status: 409, title: 'A service client with this name exists already.' },
  client_disabled: { status: 409, title: 'The service client is disabled, for good.' },
  too_many_client_secrets: {
    status: 409,
    title: 'The service client has as many live secrets as it may have. Revoke one first.',
  },
  last_client_secret: {
    status: 409,
    title: 'This is the last live secret of the service client. Disable the client instead.',
  },
  // From here on the codes are those of RFC 6749 section 5.2, RFC 8707 section 2 and RFC 7009 section 2.2.1, and answered as they are.
  unsupported_grant_type: { status: 400, title: 'This grant type is not offered here.' },
  invalid_grant: {
    status: 400,
    title: 'The token is no good (any more), or was issued to another client.',
  },
  invalid_scope: { status: 400, title: 'The scope is malformed, or more than may be asked for.' },
  invalid_target: { status: 400, title: 'No token for this audience may be asked for.' },
  unauthorized_client: { status: 400, title: 'This client may not ask for tokens.' },
  unsupported_token_type: { status: 400, title: 'A token of this kind is not revoked here.' },
})
