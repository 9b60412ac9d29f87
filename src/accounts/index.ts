/**
 * Owns the account: its address, roles and password, and what changing any of these ends. It decides whether a password is correct and good
 * enough. It never logs anybody in.
 */
export {
  type Account,
  type AccountForLogin,
  accountErrors,
  type LoginAccount,
  type StoredPassword,
} from './account.ts'
export {
  type AccountStore,
  type AccountStores,
  type OwnedClients,
  postgresAccountStore,
} from './account-store.ts'
export { argon2PasswordHasher, loadArgon2 } from './argon2-password-hasher.ts'
export {
  type ChangeAccount,
  changeAccount,
  endOwnedClients,
} from './change-account.ts'
export { type CreateAccount, createAccount } from './create-account.ts'
export { type EmailAddress, parseEmail } from './email-address.ts'
export {
  type BoundedPasswordHasher,
  boundedPasswordHasher,
  openPasswordHasher,
} from './hash-queue.ts'
export {
  type AccountRouteDeps,
  accountRoutes,
  accountSchema,
  type DescribeAccount,
  describeAccount,
  roleSchema,
} from './routes.ts'
export { type SetPassword, setPassword } from './set-password.ts'
