import type { Config } from './config.ts'

const isLoopback = (host: string): boolean => /^(127\.|::1$|localhost$)/.test(host)

/** What is allowed and yet should be known: one sentence each, for the log at every start. Holds no secret. */
export const configWarnings = (config: Config): string[] => {
  const warnings: string[] = []
  if (config.allowPlaintextStores) {
    warnings.push(
      'ALLOW_PLAINTEXT_STORES is true: connections to Postgres and Redis may be readable and forgeable on the network',
    )
  }
  if (config.issuer.endsWith(':0')) {
    warnings.push('PORT is 0 and ISSUER is not set: the issuer of tokens names no real address')
  }
  if (!config.production) return warnings
  // TLS ends at a proxy; without one named here the service sees only plain HTTP from addresses it cannot tell apart.
  if (config.trustedProxies.length === 0 && !isLoopback(config.host)) {
    warnings.push(
      'TRUSTED_PROXIES is empty and HOST is reachable from other machines: no proxy is believed to have ended TLS',
    )
  }
  if (config.allowedOrigins.some((origin) => origin.startsWith('http:'))) {
    warnings.push('ALLOWED_ORIGINS names an http:// origin: its pages can be changed on the way')
  }
  return warnings
}
