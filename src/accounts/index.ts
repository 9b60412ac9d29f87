/**
 * Owns the account: who there is, by which address, with which roles and password, and what changing any of these ends. It decides
 * whether a password is right and good enough; it never signs anybody in.
 */
export { type Account, failedLoginLimit, type LoginAccount } from './account.ts'
export type { AccountStore, AccountStores } from './account-store.ts'
export { loadArgon2 } from './argon2-engines.ts'
export { argon2PasswordHasher } from './argon2-password-hasher.ts'
export { changeAccount } from './change-account.ts'
export { createAccount } from './create-account.ts'
export { type EmailAddress, parseEmail } from './email-address.ts'
export { accountErrors } from './errors.ts'
export { type BoundedPasswordHasher, boundedPasswordHasher } from './hash-queue.ts'
export { endOwnedClients, type OwnedClients } from './owned-clients.ts'
export type { StoredPassword } from './password-hasher.ts'
export { postgresAccountStore } from './postgres-account-store.ts'
export { accountRoutes, describeAccount } from './routes.ts'
export { accountSchema, roleSchema } from './schemas.ts'
export { setPassword } from './set-password.ts'
