import { defineErrors } from '../lib/app-error.ts'

export const forwardAuthErrors = defineErrors({
  sign_in_required: { status: 401, title: 'Nobody is signed in; sign in first.' },
  sign_in_too_old: { status: 401, title: 'The sign-in is too long ago; sign in again.' },
  role_required: { status: 403, title: 'The account has none of the roles that are asked for.' },
  token_not_for_upstream: {
    status: 403,
    title: 'The access token was not made for the service behind the proxy.',
  },
  form_expired: {
    status: 403,
    title: 'This form was not made for this browser, or is too old. Please sign in once more.',
  },
})
