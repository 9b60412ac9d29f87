import { defineErrors } from '../lib/app-error.ts'

export const revocationErrors = defineErrors({
  // 410 and not 404: the address is right, what the cursor stood for is gone. A follower starts over with a snapshot.
  cursor_unknown: {
    status: 410,
    title: 'The log of revocations cannot be continued from this cursor. Take a snapshot.',
  },
})
