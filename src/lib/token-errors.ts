import { defineErrors } from './app-error.ts'

/** Thrown where a token is checked, and at the edge for what is none. */
export const tokenErrors = defineErrors({
  // One answer for every defect: which check refused it helps only those who forge. The log has the cause.
  invalid_token: { status: 401, title: 'The access token is not valid.' },
})
