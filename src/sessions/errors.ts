import { defineErrors } from '../lib/app-error.ts'

export const sessionErrors = defineErrors({
  missing_refresh_token: { status: 401, title: 'The request carries no refresh token.' },
  invalid_refresh_token: {
    status: 401,
    title: 'The refresh token is not one that this service issued for this use.',
  },
  session_ended: { status: 401, title: 'The session has ended; sign in again.' },
  session_contended: {
    status: 503,
    title: 'The session kept changing while it was refreshed. Try again; nothing was consumed.',
  },
  refresh_delayed: {
    status: 503,
    title: 'The refresh waited for too long to be decided. Try again; the session goes on.',
  },
  sealed_session_too_large: {
    status: 409,
    title: 'The account has too many roles for a sealed session.',
  },
  invalid_session: { status: 401, title: 'The session cookie opens no session (any more).' },
  precondition_required: {
    status: 428,
    title: 'Say with If-Match which version of the data this one follows.',
  },
  precondition_failed: {
    status: 412,
    title: 'The data was changed by somebody else. Read it again.',
  },
  session_not_found: { status: 404, title: 'There is no such session.' },
})
