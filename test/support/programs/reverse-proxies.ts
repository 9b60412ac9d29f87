import { mkdir, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { KeyPair } from '../servers/self-signed.ts'
import { findProxy, type ProxyName } from './find-proxy.ts'
import {
  deployed,
  type Prepare,
  type RunningProxy,
  startProxyProcess,
  type Upstreams,
} from './proxy-process.ts'

/** What the proxy asks beyond what our configuration does. */
export type Questions = { readonly asksForEmail?: boolean }

/** What Debian's nginx.conf does around the files in conf.d; all that is written stays in the folder. */
export const nginxMain = (folder: string): string => `
${process.geteuid?.() === 0 ? `user ${userInfo().username};` : ''}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join('\n  ')}
  include site.conf;
}
`

/** Lays out what a Debian system has in conf.d and in /etc/nginx/cardea. */
const layOutNginx = async (folder: string, cardea: string, site: string): Promise<void> => {
  await mkdir(join(folder, 'cardea'))
  for (const name of ['check.conf', 'protected.conf', 'server.conf', 'to-cardea.conf']) {
    await writeFile(join(folder, 'cardea', name), await deployed(`nginx/${name}`))
  }
  const edits = { 'server 127.0.0.1:8088;': `server ${cardea};` }
  const both = [await deployed('nginx/cardea.conf', edits), site]
  await writeFile(join(folder, 'site.conf'), both.join('\n'))
  await writeFile(join(folder, 'nginx.conf'), nginxMain(folder))
}

export const nginxArgs = (folder: string) => [
  '-p',
  folder,
  '-c',
  join(folder, 'nginx.conf'),
  '-e',
  'stderr',
]

const withoutTls = (port: number) => ({
  'listen 443 ssl;': `listen 127.0.0.1:${port};`,
  'ssl_certificate /etc/nginx/site.crt;': '',
  'ssl_certificate_key /etc/nginx/site.key;': '',
})

const prepareNginx =
  ({ asksForEmail }: Questions): Prepare =>
  async ({ folder, port, upstreams }) => {
    const email = {
      'proxy_pass http://cardea/forward-auth;': 'proxy_pass http://cardea/forward-auth?email=1;',
    }
    const site = await deployed('nginx/site.conf', {
      'server 127.0.0.1:3000;': `server ${upstreams.app};`,
      ...withoutTls(port),
      ...(asksForEmail && email),
    })
    await layOutNginx(folder, upstreams.cardea, site)
    return { args: nginxArgs(folder) }
  }

const prepareHaproxy =
  ({ asksForEmail }: Questions, pair?: KeyPair): Prepare =>
  async ({ folder, port, upstreams }) => {
    // One name for a machine: several tests may run at once.
    const listener = { 'abns@cardea-check': `abns@cardea-check-${port}` }
    const pem = join(folder, 'site.pem')
    if (pair) await writeFile(pem, Buffer.concat([pair.cert, pair.key]))
    const bind = pair
      ? { ':443 ssl crt /etc/haproxy/site.pem': `127.0.0.1:${port} ssl crt ${pem}` }
      : { ':443 ssl crt /etc/haproxy/site.pem alpn h2,http/1.1': `127.0.0.1:${port}` }
    const config = await deployed('haproxy/haproxy.cfg', {
      '/etc/haproxy/cardea.lua': join(folder, 'cardea.lua'),
      ...bind,
      ...listener,
      ...(asksForEmail && {
        '# The rules: /staff':
          'http-request set-var(txn.cardea_query) str(email=1)\n    # The rules: /staff',
      }),
    })
    await writeFile(join(folder, 'haproxy.cfg'), config)
    await writeFile(join(folder, 'cardea.lua'), await deployed('haproxy/cardea.lua', listener))
    return {
      args: ['-db', '-f', join(folder, 'haproxy.cfg')],
      env: { CARDEA: upstreams.cardea, APP: upstreams.app },
    }
  }

const prepareCaddy =
  ({ asksForEmail }: Questions, pair?: KeyPair): Prepare =>
  async ({ folder, port, upstreams }) => {
    const config = join(folder, 'Caddyfile')
    // Instead of fetching a certificate, and without a listener on port 80 that leads here.
    const withPair = pair && {
      'admin {$CADDY_ADMIN:localhost:2019}':
        'admin {$CADDY_ADMIN:localhost:2019}\n\tauto_https off',
      '{$SITE:www.example.com} {': `{$SITE:www.example.com} {\n\ttls ${pair.certificatePath} ${pair.keyPath}`,
    }
    const email = { 'rewrite /forward-auth?\n': 'rewrite /forward-auth?email=1\n' }
    const edits = { ...withPair, ...(asksForEmail && email) }
    await writeFile(config, await deployed('caddy/Caddyfile', edits))
    await writeFile(join(folder, 'cardea.caddy'), await deployed('caddy/cardea.caddy'))
    const site = pair ? `https://127.0.0.1:${port}` : `http://:${port}`
    return {
      args: ['run', '--config', config, '--adapter', 'caddyfile'],
      env: { CADDY_ADMIN: 'off', SITE: site, CARDEA: upstreams.cardea, APP: upstreams.app },
    }
  }

const prepare: Readonly<Record<ProxyName, (questions: Questions) => Prepare>> = {
  nginx: prepareNginx,
  haproxy: prepareHaproxy,
  caddy: prepareCaddy,
}

/** The real proxy with our configuration of `deploy/proxies`, without TLS. */
export const startReverseProxy = async (
  name: ProxyName,
  upstreams: Upstreams,
  questions: Questions = {},
): Promise<RunningProxy> =>
  await startProxyProcess(await findProxy(name), upstreams, prepare[name](questions))

/** The same with TLS and HTTP/2, as they speak to browsers; our configuration of nginx has HTTP/1.1 only. */
export const startHttp2Proxy = async (
  name: 'haproxy' | 'caddy',
  upstreams: Upstreams,
  pair: KeyPair,
): Promise<RunningProxy> => {
  const prepared = name === 'haproxy' ? prepareHaproxy({}, pair) : prepareCaddy({}, pair)
  return await startProxyProcess(await findProxy(name), upstreams, prepared)
}

/** Where requests for the hosts of one-login.conf and one-login.Caddyfile go, as `host:port`. */
export type OneLoginUpstreams = {
  readonly cardea: string
  readonly wiki: string
  readonly shop: string
  /** The network whose requests reach `/admin`; none, unless given. */
  readonly operators?: string
}

const oneLoginNginx =
  ({ cardea, wiki, shop, operators }: OneLoginUpstreams, pair: KeyPair): Prepare =>
  async ({ folder, port }) => {
    const site = await deployed('nginx/one-login.conf', {
      'server 127.0.0.1:3000;': `server ${wiki};`,
      'server 127.0.0.1:3001;': `server ${shop};`,
      ...(operators !== undefined && { 'deny all;': `allow ${operators}; deny all;` }),
    })
    const withPair = site
      .replaceAll('listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`)
      .replaceAll('/etc/nginx/site.crt', pair.certificatePath)
      .replaceAll('/etc/nginx/site.key', pair.keyPath)
    await layOutNginx(folder, cardea, withPair)
    return { args: nginxArgs(folder) }
  }

const oneLoginCaddy =
  ({ cardea, wiki, shop, operators }: OneLoginUpstreams, pair: KeyPair): Prepare =>
  async ({ folder, port }) => {
    const names = ['AUTH_SITE', 'WIKI_SITE', 'SHOP_SITE'] as const
    const hosts = ['auth.example.com', 'wiki.example.com', 'shop.example.com'] as const
    const tls = names.map((name, place) => {
      const opened = `{$${name}:${hosts[place]}} {`
      return [opened, `${opened}\n\ttls ${pair.certificatePath} ${pair.keyPath}`]
    })
    const admin = 'admin {$CADDY_ADMIN:localhost:2019}'
    const edits = { [admin]: `${admin}\n\tauto_https off`, ...Object.fromEntries(tls) }
    const config = join(folder, 'Caddyfile')
    await writeFile(config, await deployed('caddy/one-login.Caddyfile', edits))
    await writeFile(join(folder, 'cardea.caddy'), await deployed('caddy/cardea.caddy'))
    const sites = names.map((name, place) => [name, `https://${hosts[place]}:${port}`])
    return {
      args: ['run', '--config', config, '--adapter', 'caddyfile'],
      env: {
        CADDY_ADMIN: 'off',
        LOGIN_PAGE: 'https://auth.example.com/login',
        CARDEA: cardea,
        WIKI: wiki,
        SHOP: shop,
        ...(operators !== undefined && { OPERATORS: operators }),
        ...Object.fromEntries(sites),
      },
    }
  }

/** Our configuration for several hosts with one login, with TLS: session cookies of a domain need it. */
export const startOneLoginProxy = async (
  name: 'nginx' | 'caddy',
  upstreams: OneLoginUpstreams,
  pair: KeyPair,
): Promise<RunningProxy> => {
  const prepared = { nginx: oneLoginNginx, caddy: oneLoginCaddy }[name](upstreams, pair)
  const { cardea, wiki } = upstreams
  return await startProxyProcess(await findProxy(name), { cardea, app: wiki }, prepared)
}

export const proxyNames = ['nginx', 'haproxy', 'caddy'] as const satisfies readonly ProxyName[]
