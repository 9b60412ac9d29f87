import { defineErrors } from '../lib/app-error.ts'

/** Why something asked of an account, its e-mail address or its password was refused. */
export const accountErrors = defineErrors({
  invalid_email: { status: 400, title: 'The e-mail address cannot be used.' },
  invalid_password: { status: 400, title: 'The password is not valid text.' },
  password_rejected: { status: 400, title: 'The new password does not meet the policy.' },
  account_not_found: { status: 404, title: 'There is no such account.' },
  account_exists: { status: 409, title: 'An account with this e-mail address exists already.' },
  server_busy: { status: 503, title: 'The server is busy; try again shortly.' },
})
