import { expect, test } from 'vitest'
import { startToyServer } from './toy-server.ts'

test('the description of the API is OpenAPI 3.1 made from the schemas that check requests', async () => {
  const { url } = await startToyServer()
  const response = await fetch(`${url}/openapi.json`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  const api = JSON.parse(await response.text())
  expect(api.openapi).toBe('3.1.0')
  const echo = api.paths['/echo'].post
  expect(echo.requestBody.content['application/json'].schema).toMatchObject({
    additionalProperties: false,
    properties: { email: { type: 'string', maxLength: 20 } },
  })
  expect(echo.responses[400].content['application/problem+json'].schema).toEqual({
    $ref: '#/components/schemas/Problem',
  })
  expect(api.components.schemas.Problem.required).toContain('code')
  expect(api.paths['/me'].get.security).toEqual([{ accessToken: [] }, { sessionCookie: [] }])
  expect(api.paths['/feed'].get.security).toEqual([{ serviceClient: [] }])
  expect(api.components.securitySchemes.serviceClient).toEqual({ type: 'http', scheme: 'basic' })
  expect(Object.keys(api.paths['/oauth/echo'].post.requestBody.content)).toEqual([
    'application/x-www-form-urlencoded',
  ])
  expect(echo.security).toBeUndefined()
  expect(api.paths['/openapi.json']).toBeUndefined()
})
