import { defineErrors } from '../lib/app-error.ts'

/** Why something asked of a service client was refused. */
export const oauthErrors = defineErrors({
  invalid_client_name: { status: 400, title: 'The name of the service client cannot be used.' },
  client_not_found: { status: 404, title: 'There is no such service client.' },
  client_name_taken: { status: 409, title: 'A service client with this name exists already.' },
})
