import { afterAll, describe, expect, test } from 'vitest'
import { startCardea } from '../support/service/cardea.ts'
import { readPage, sections, tableRows } from './markdown.ts'

type Operation = { responses: Record<string, unknown>; security?: unknown[] }

const page = readPage('docs/reference/http-api.md')
const described = sections(page, 3)

const cardea = await startCardea()
const { body } = await cardea.client.get('/openapi.json')
const paths: Record<string, Record<string, Operation>> = body.paths
const operations = new Map(
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  ),
)
afterAll(() => cardea.stop())

const statusesOf = (section: string): string[] =>
  tableRows(section)
    .map(([cell = '']) => cell)
    .filter((cell) => /^\d{3}$/.test(cell))

const isOauth = (name: string): boolean => name.includes(' /oauth/')

/** By access: what a route says to whoever sends no credentials at all. */
const refusals = (name: string): ReadonlyMap<string, string | undefined> =>
  new Map([
    ['public', undefined],
    ['session', 'missing_token'],
    ['cookie', 'missing_session'],
    ['operator', 'missing_token'],
    ['service', isOauth(name) ? 'invalid_client' : 'missing_credentials'],
  ])

/** What it really says, if that is one of these; a public route may have other reasons to refuse. */
const refusalOf = async (name: string): Promise<string | undefined> => {
  const [method = '', path = ''] = name.split(' ')
  const headers = isOauth(name) ? { 'content-type': 'application/x-www-form-urlencoded' } : {}
  const url = path.replace('{id}', 'AAAAAAAAAAAAAAAAAAAAAA')
  const { status, body } = await cardea.client.send(method, url, { headers })
  const refusal: string | undefined = body?.error ?? body?.code
  return status === 401 && [...refusals(name).values()].includes(refusal) ? refusal : undefined
}

describe('the page of the HTTP API', () => {
  test('has a section for every route of the OpenAPI description and for no other', () => {
    expect([...described.keys()].toSorted()).toEqual([...operations.keys()].toSorted())
  })

  test('lists for every route the statuses that the description lists', () => {
    const onPage = [...described].map(([name, section]) => [name, statusesOf(section)])
    const inDescription = [...operations].map(([name, { responses }]) => [
      name,
      Object.keys(responses).toSorted(),
    ])
    expect(Object.fromEntries(onPage)).toEqual(Object.fromEntries(inDescription))
  })

  test('says of every route who may call it', async () => {
    for (const [name, section] of described) {
      const access = /^Access: (public|session|cookie|operator|service)\b/m.exec(section)?.[1] ?? ''
      expect({ name, refusal: await refusalOf(name) }).toEqual({
        name,
        refusal: refusals(name).get(access),
      })
      expect(name.includes(' /admin/'), name).toBe(access === 'operator')
    }
  })

  test('names every member that a request may have', () => {
    for (const [name, operation] of operations) {
      const text = JSON.stringify(operation)
      const content: Record<string, { schema?: { properties?: Record<string, unknown> } }> =
        JSON.parse(text).requestBody?.content ?? {}
      const properties = Object.values(content)[0]?.schema?.properties
      for (const member of Object.keys(properties ?? {})) {
        expect(described.get(name), name).toContain(`| \`${member}\` |`)
      }
    }
  })
})
