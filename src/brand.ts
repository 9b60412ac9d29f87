import { type Config, ConfigError, readLogoFile } from './config/index.ts'
import type { Brand } from './http/page.ts'

const readLogo = (path: string): string => {
  const read = readLogoFile(path)
  if ('value' in read) return read.value
  throw new ConfigError([{ name: 'SERVICE_LOGO_FILE', message: read.problem }])
}

/**
 * The name and the logo on the pages.
 * @throws ConfigError when the logo cannot be used
 */
export const readBrand = ({
  serviceName,
  serviceLogo,
}: Pick<Config, 'serviceName' | 'serviceLogo'>): Brand => ({
  name: serviceName,
  logo: serviceLogo === undefined ? undefined : readLogo(serviceLogo),
})
