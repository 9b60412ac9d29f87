import { defineErrors } from '../lib/app-error.ts'

export const keyErrors = defineErrors({
  signing_key_not_found: { status: 404, title: 'There is no such signing key.' },
  // The caller gets no details. The log has the cause: a key that cannot be decrypted, or damaged rows.
  signing_keys_unavailable: {
    status: 503,
    title: 'The signing keys could not be read for too long. Try again.',
  },
})
