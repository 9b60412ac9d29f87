import { expect, onTestFinished, test } from 'vitest'
import { basePathOf, routeHiding, stripBasePath } from '../../src/http/base-path.ts'
import { knownPaths } from '../../src/http/not-found.ts'
import { startCardea } from '../support/service/cardea.ts'
import { sendRaw, startToyServer } from './toy-server.ts'

test('the base path is the path of the issuer', () => {
  expect(basePathOf('https://auth.example.com')).toBe('')
  expect(basePathOf('https://example.com/auth')).toBe('/auth')
  expect(basePathOf('https://example.com:8443/a/b')).toBe('/a/b')
})

const withRoutes = (...patterns: string[]) => {
  const paths = knownPaths()
  for (const pattern of patterns) paths.add(pattern, ['GET'])
  return paths
}

test('the base path is taken off once, where it is a whole segment, from a path and from a URL', () => {
  const strip = stripBasePath('/auth', withRoutes('/login', '/sessions/:id'))
  for (const [url, stripped] of [
    ['/auth/login', '/login'],
    ['/auth/login?return=/auth/x', '/login?return=/auth/x'],
    ['/login', '/login'],
    ['/auth', '/'],
    ['/auth/', '/'],
    ['/auth?a=b', '/?a=b'],
    ['/auth/auth/login', '/auth/login'],
    ['/auth//login', '//login'],
    ['/authlogin', '/authlogin'],
    ['/AUTH/login', '/AUTH/login'],
    ['/%61uth/login', '/%61uth/login'],
    ['/x/auth/login', '/x/auth/login'],
    ['http://example.com/auth/login', 'http://example.com/login'],
    ['http://auth/login', 'http://auth/login'],
    ['*', '*'],
  ]) {
    expect(strip({ url: url ?? '' }), url).toBe(stripped)
  }
})

test('a dot of the base path is a dot', () => {
  const strip = stripBasePath('/v1.0', withRoutes('/login'))
  expect(strip({ url: '/v1.0/login' })).toBe('/login')
  expect(strip({ url: '/v1x0/login' })).toBe('/v1x0/login')
})

test('what is a route as it stands is left alone, also when it begins with the base path', () => {
  const strip = stripBasePath('/oauth', withRoutes('/oauth/token', '/login', '/oauth/:id/x'))
  expect(strip({ url: '/oauth/token?a' })).toBe('/oauth/token?a')
  expect(strip({ url: '/oauth/oauth/token' })).toBe('/oauth/token')
  expect(strip({ url: '/oauth/7/x' })).toBe('/oauth/7/x')
  expect(strip({ url: '/oauth/login' })).toBe('/login')
})

test.each([
  ['/sessions', '/sessions/:id'],
  ['/login', '/login'],
  ['/7/x', undefined],
  ['/oauth', undefined],
  ['/auth', undefined],
  ['', undefined],
])('of the base path %j, the route that hides another one is %j', (basePath, route) => {
  const paths = withRoutes('/', '/oauth/token', '/sessions/:id', '/login')
  expect(routeHiding(basePath, paths)).toBe(route)
})

test('a start with an issuer whose path is that of a route names the route; other first segments of routes work', async () => {
  for (const path of ['/sessions', '/login', '/account']) {
    const config = { issuer: `https://example.com${path}` }
    await expect(startCardea({ config }), path).rejects.toThrow(
      `ISSUER has the path ${path}, which is also that of the route ${path}`,
    )
  }
  const issuer = 'https://example.com/oauth'
  const cardea = await startCardea({ config: { issuer } })
  onTestFinished(() => cardea.stop())
  for (const path of ['/oauth/login', '/login']) {
    expect((await cardea.client.get(path, { headers: { accept: 'text/html' } })).status).toBe(200)
  }
  for (const path of ['/oauth/token', '/oauth/oauth/token']) {
    expect((await cardea.client.post(path)).status, path).toBe(415)
  }
})

test('a service whose issuer has a path answers with it and without it, and 404 and 405 as ever', async () => {
  const { port, handled } = await startToyServer({ issuer: 'https://example.com/auth' })
  const statusOf = async (requestLine: string, ...headers: string[]) =>
    (await sendRaw(port, requestLine, ['Host: example.com', ...headers])).status
  for (const path of ['/things/1', '/auth/things/1', 'http://example.com/auth/things/1']) {
    expect(await statusOf(`GET ${path}`), path).toBe(200)
  }
  expect(handled()).toBe(3)
  const json = 'Content-Type: application/json'
  for (const path of ['/auth/auth/things/1', '/authx/things/1', '/auth', '/auth/']) {
    expect(await statusOf(`GET ${path}`), path).toBe(404)
  }
  expect(await statusOf('PUT /auth/things/1', json, 'Content-Length: 0')).toBe(405)
  expect(await statusOf('GET http://evil.example/auth/things/1')).toBe(400)
  expect(handled()).toBe(3)
})

test('R66: pages of the origin of an issuer with a path may call, and public documents are public with the path', async () => {
  const { url } = await startToyServer({ issuer: 'https://example.com/auth' })
  const preflight = { 'access-control-request-method': 'POST', origin: 'https://example.com' }
  const own = await fetch(`${url}/auth/plain`, { method: 'OPTIONS', headers: preflight })
  expect(own.headers.get('access-control-allow-origin')).toBe('https://example.com')
  const headers = { ...preflight, origin: 'https://anybody.example' }
  const keys = await fetch(`${url}/auth/keys`, { method: 'OPTIONS', headers })
  expect(keys.headers.get('access-control-allow-origin')).toBe('*')
})
