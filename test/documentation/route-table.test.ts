import { readFile } from 'node:fs/promises'
import { type FastifyInstance, fastify } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { problemSchema } from '../../src/http/errors.ts'
import { openLog } from '../../src/http/log.ts'
import { oauthErrorSchema } from '../../src/http/oauth-errors.ts'
import { mountRoutes, type Route } from '../../src/http/route.ts'
import { composeService } from '../../src/wiring.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

const page = new URL('../../docs/architecture.md', import.meta.url)

const rowOf = ({ method, path, access }: Route): string =>
  `${method.padEnd(7)}${path.padEnd(45)}${access}`

let cardea: Cardea
let routes: readonly Route[]

beforeAll(async () => {
  cardea = await startCardea({ redisUrl: null })
  const log = openLog({ logLevel: 'silent', logStream: { write: () => undefined } })
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  routes = composeService(instance.core, log).routes
})

afterAll(async () => await cardea.stop())

test('the page of the architecture lists every route with its access, in the order of the table', async () => {
  const [, listed] =
    /<!-- routes -->\n```\n([\s\S]*?)\n```/.exec(await readFile(page, 'utf8')) ?? []
  expect(listed).toBe(routes.map(rowOf).join('\n'))
})

const readied = async (more: readonly Route[]): Promise<FastifyInstance> => {
  // Its own compilers, which compile every schema before a request comes, unlike those of the service.
  const app = fastify()
  app.addSchema(problemSchema)
  app.addSchema(oauthErrorSchema)
  mountRoutes(app, [...routes, ...more])
  await app.ready()
  return app
}

test('every schema of the table can be compiled', async () => {
  const app = await readied([])
  await app.close()
  const body = { type: 'nothing that JSON Schema knows' }
  const bad = { method: 'POST', path: '/bad', schema: { body }, handler: async () => '' } as const
  await expect(readied([{ ...bad, access: 'public' }])).rejects.toThrow('/bad')
})
