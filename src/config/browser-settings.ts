import { hostName, registrableDomain } from './addresses.ts'
import { imageFile, listOf, serviceName as nameOfService } from './formats.ts'
import type { Setting } from './setting.ts'

const cookieDomain: Setting<string | undefined> = {
  name: 'COOKIE_DOMAIN',
  meaning:
    'One login for all hosts of a site: the session cookie is sent to this domain and every host below it. ISSUER is at or below it and begins with https://. A change logs out everybody who has a session cookie.',
  format: registrableDomain,
  fallback: undefined,
  defaultText: 'none: each host has a session cookie of its own',
  whyThisDefault: 'Every host below the domain can read and set a cookie that has one.',
}

const returnHosts: Setting<readonly string[] | undefined> = {
  name: 'RETURN_HOSTS',
  meaning:
    'With COOKIE_DOMAIN: the hosts that the login page may return to, each at or below that domain.',
  format: listOf(hostName),
  fallback: undefined,
  defaultText: 'COOKIE_DOMAIN and every host below it',
  whyThisDefault: 'These hosts get the session cookie in any case.',
}

const serviceName: Setting<string | undefined> = {
  name: 'SERVICE_NAME',
  meaning: 'The name that the login page and the other pages show.',
  format: nameOfService,
  fallback: undefined,
  defaultText: 'none',
  whyThisDefault: 'The pages show the host in any case.',
}

const serviceLogo: Setting<string | undefined> = {
  name: 'SERVICE_LOGO_FILE',
  meaning:
    'An image that the pages show above the name, of at most 64 KiB. It is read at the start and is part of each page.',
  format: imageFile,
  fallback: undefined,
  defaultText: 'none',
  whyThisDefault:
    'A file, because a page that loads an image from another host tells that host of each visit.',
}

/** Settings for browsers: the domain of the session cookie, the return hosts of the login page, the look of the pages. */
export const browserSettings = {
  cookieDomain,
  returnHosts,
  serviceName,
  serviceLogo,
}
