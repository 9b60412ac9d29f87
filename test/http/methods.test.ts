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
