import { defineErrors } from '../lib/app-error.ts'

export const tokenErrors = defineErrors({
  // One answer for every defect: which check refused it helps only those who forge. The log has the cause.
  invalid_token: { status: 401, title: 'The access token is not valid.' },
})
