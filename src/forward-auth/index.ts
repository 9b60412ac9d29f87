/**
 * Owns what stands between a reverse proxy and software that knows nothing of sessions: the answer to "may this request pass, and as
 * whom", the login page that people without a session are sent to, and the signed address that brings them back. It keeps nothing of
 * its own, signs nobody in by itself, and believes nothing that a client says of the request but its credential.
 */
export { checkAccess } from './check-access.ts'
export { forwardAuthErrors } from './errors.ts'
export { formTokens } from './form-token.ts'
export { returnTokens } from './return-token.ts'
export { forwardAuthRoutes } from './routes/forward-auth.ts'
export { loginPageRoutes } from './routes/login-page.ts'
export { mintForUpstream } from './upstream-token.ts'
