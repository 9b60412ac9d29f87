import { mkdir, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { findProxy, type ProxyName } from './find-proxy.ts'
import {
  deployed,
  type Prepare,
  type RunningProxy,
  startProxyProcess,
  type Upstreams,
} from './proxy-process.ts'
import type { KeyPair } from './self-signed.ts'

/** What Debian's nginx.conf does around the files in conf.d; all that is written stays in the folder. */
const nginxMain = (folder: string): string => `
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

const prepareNginx: Prepare = async ({ folder, port, upstreams }) => {
  const site = await deployed('nginx/site.conf', {
    'server 127.0.0.1:8088;': `server ${upstreams.cardea};`,
    'server 127.0.0.1:3000;': `server ${upstreams.app};`,
    'listen 443 ssl;': `listen 127.0.0.1:${port};`,
    'ssl_certificate /etc/nginx/site.crt;': '',
    'ssl_certificate_key /etc/nginx/site.key;': '',
  })
  await mkdir(join(folder, 'cardea'))
  for (const name of ['check.conf', 'protected.conf']) {
    await writeFile(join(folder, 'cardea', name), await deployed(`nginx/${name}`))
  }
  await writeFile(join(folder, 'site.conf'), site)
  await writeFile(join(folder, 'nginx.conf'), nginxMain(folder))
  return { args: ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'] }
}

const prepareHaproxy =
  (pair?: KeyPair): Prepare =>
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
    })
    await writeFile(join(folder, 'haproxy.cfg'), config)
    await writeFile(join(folder, 'cardea.lua'), await deployed('haproxy/cardea.lua', listener))
    return {
      args: ['-db', '-f', join(folder, 'haproxy.cfg')],
      env: { CARDEA: upstreams.cardea, APP: upstreams.app },
    }
  }

const prepareCaddy =
  (pair?: KeyPair): Prepare =>
  async ({ folder, port, upstreams }) => {
    const config = join(folder, 'Caddyfile')
    // Instead of fetching a certificate, and without a listener on port 80 that leads here.
    const withPair = pair && {
      'admin {$CADDY_ADMIN:localhost:2019}':
        'admin {$CADDY_ADMIN:localhost:2019}\n\tauto_https off',
      '{$SITE:www.example.com} {': `{$SITE:www.example.com} {\n\ttls ${pair.certificatePath} ${pair.keyPath}`,
    }
    await writeFile(config, await deployed('caddy/Caddyfile', withPair))
    const site = pair ? `https://127.0.0.1:${port}` : `http://:${port}`
    return {
      args: ['run', '--config', config, '--adapter', 'caddyfile'],
      env: { CADDY_ADMIN: 'off', SITE: site, CARDEA: upstreams.cardea, APP: upstreams.app },
    }
  }

const prepare: Readonly<Record<ProxyName, Prepare>> = {
  nginx: prepareNginx,
  haproxy: prepareHaproxy(),
  caddy: prepareCaddy(),
}

/** The real proxy with our configuration of `deploy/proxies`, without TLS. */
export const startReverseProxy = async (
  name: ProxyName,
  upstreams: Upstreams,
): Promise<RunningProxy> => await startProxyProcess(await findProxy(name), upstreams, prepare[name])

/** The same with TLS and HTTP/2, as they speak to browsers; our configuration of nginx has HTTP/1.1 only. */
export const startHttp2Proxy = async (
  name: 'haproxy' | 'caddy',
  upstreams: Upstreams,
  pair: KeyPair,
): Promise<RunningProxy> => {
  const prepared = name === 'haproxy' ? prepareHaproxy(pair) : prepareCaddy(pair)
  return await startProxyProcess(await findProxy(name), upstreams, prepared)
}

export const proxyNames = ['nginx', 'haproxy', 'caddy'] as const satisfies readonly ProxyName[]
