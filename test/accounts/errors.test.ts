import { expect, test } from 'vitest'
import { accountErrors } from '../../src/accounts/account.ts'

test('each refusal has the status that its callers were promised', () => {
  const statuses = Object.entries(accountErrors.definitions).map(([code, { status }]) => [
    code,
    status,
  ])
  expect(Object.fromEntries(statuses)).toEqual({
    invalid_email: 400,
    invalid_password: 400,
    password_rejected: 400,
    account_not_found: 404,
    account_exists: 409,
    server_busy: 503,
  })
})
