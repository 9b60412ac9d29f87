import { expect, test } from 'vitest'
import { jsonHeaders, sendRaw, startToyServer } from './toy-server.ts'

test('R102: a method that a known path lacks is 405 with the ones it has, TRACE and rare ones included', async () => {
  const { port, handled } = await startToyServer()
  for (const method of ['PUT', 'PATCH', 'POST', 'TRACE', 'OPTIONS', 'PROPFIND', 'PURGE']) {
    const answer = await sendRaw(port, `${method} /things/1`, ['Host: x'])
    expect(answer.status, method).toBe(405)
    expect(answer.headers.get('allow')).toBe('DELETE, GET, HEAD')
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'method_not_allowed' })
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  }
  expect(handled()).toBe(0)
})

test('R49 R67: GET and HEAD on a route that changes state are 405 and run nothing', async () => {
  const { url, handled } = await startToyServer()
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    const response = await fetch(`${url}/plain?x=1`, { method })
    expect(response.status, method).toBe(405)
    expect(response.headers.get('allow')).toBe('POST')
  }
  expect(handled()).toBe(0)
})

test('a person at a path that no route knows gets a page, in the name of the service', async () => {
  const brand = { name: 'Acme <Login>', logo: undefined }
  const { port } = await startToyServer({ brand })
  const statusAndType = async (line: string, accept: string) => {
    const { status, headers } = await sendRaw(port, line, ['Host: a', `Accept: ${accept}`])
    return [status, headers.get('content-type')]
  }
  const browser = 'text/html,application/xhtml+xml,*/*;q=0.8'
  const answer = await sendRaw(port, 'GET /nowhere', ['Host: a', `Accept: ${browser}`])
  expect(answer.status).toBe(404)
  expect(answer.body).toContain('<h1>Page not found</h1>')
  expect(answer.body).toContain('<span>Acme &lt;Login&gt;</span>')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src /)
  const page = [404, 'text/html; charset=utf-8']
  const problem = [404, 'application/problem+json']
  expect(await statusAndType('HEAD /nowhere', browser)).toEqual(page)
  expect(await statusAndType('GET /nowhere', '*/*')).toEqual(problem)
  expect(await statusAndType('GET /nowhere', 'application/json, text/html;q=0.9')).toEqual(problem)
})

test('a path that no route knows is 404 for every method', async () => {
  const { url } = await startToyServer()
  for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
    for (const path of ['/', '/nowhere', '/things', '/things/1/2', '/Plain', '/plain/']) {
      const response = await fetch(`${url}${path}`, { method, headers: jsonHeaders })
      expect(response.status, `${method} ${path}`).toBe(404)
      expect(response.headers.has('allow')).toBe(false)
    }
  }
})
