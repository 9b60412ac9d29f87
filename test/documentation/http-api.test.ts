import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { readPage, sections, tableRows } from './markdown.ts'

type Operation = { responses: Record<string, unknown>; security?: unknown[] }

const page = readPage('docs/reference/http-api.md')
const described = sections(page, 3)

let cardea: Cardea
let operations: Map<string, Operation>

beforeAll(async () => {
  cardea = await startCardea()
  const { body } = await cardea.client.get('/openapi.json')
  const paths: Record<string, Record<string, Operation>> = body.paths
  operations = new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    ),
  )
})
afterAll(() => cardea.stop())

const statusesOf = (section: string): string[] =>
  tableRows(section)
    .map(([cell = '']) => cell)
    .filter((cell) => /^\d{3}$/.test(cell))

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
      const access = /^Access: (public|session|operator)\b/m.exec(section)?.[1]
      const [method = '', path = ''] = name.split(' ')
      const url = path.replace('{id}', 'AAAAAAAAAAAAAAAAAAAAAA')
      const answer = await cardea.client.send(method, url)
      const needsToken = answer.status === 401 && answer.body.code === 'missing_token'
      expect({ name, needsToken }).toEqual({ name, needsToken: access !== 'public' })
      expect(path.startsWith('/admin/'), name).toBe(access === 'operator')
    }
  })

  test('names every member that a request may have', () => {
    for (const [name, operation] of operations) {
      const text = JSON.stringify(operation)
      const body: unknown = JSON.parse(text).requestBody?.content?.['application/json']?.schema
      const properties = (body as { properties?: Record<string, unknown> } | undefined)?.properties
      for (const member of Object.keys(properties ?? {})) {
        expect(described.get(name), name).toContain(`| \`${member}\` |`)
      }
    }
  })
})
