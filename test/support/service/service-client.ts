import { randomBytes } from 'node:crypto'
import type { Cardea } from './cardea.ts'
import type { Answer, Client, RequestOptions } from './client.ts'

export type TestServiceClient = {
  readonly clientId: string
  readonly clientSecret: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  /** The value of its `Authorization` header. */
  readonly authorization: string
}

export const basicHeader = (clientId: string, secret: string): string =>
  `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`

/** A new service client of this deployment, as `cardea client create` makes one. */
export const newServiceClient = async (
  { instances: [first] }: Pick<Cardea, 'instances'>,
  name = `client-${randomBytes(6).toString('hex')}`,
  rights: {
    readonly scopes?: readonly string[]
    readonly audiences?: readonly string[]
    readonly ownerId?: string
  } = {},
): Promise<TestServiceClient> => {
  if (!first) throw new Error('no instance')
  const actor = { kind: 'command-line' } as const
  const created = await first.core.serviceClients.create({ name, actor, ...rights })
  return { ...created, authorization: basicHeader(created.clientId, created.clientSecret) }
}

/** Sends a form to an OAuth route as this client; without one, as nobody. */
export const postForm = (
  client: Client,
  path: string,
  authorization: string | undefined,
  parameters: Readonly<Record<string, string>> | string,
  { signal }: Pick<RequestOptions, 'signal'> = {},
): Promise<Answer> =>
  client.post(path, {
    ...(signal && { signal }),
    body: String(new URLSearchParams(parameters)),
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(authorization !== undefined && { authorization }),
    },
  })

/** Asks about a token as this client; without one, as nobody. */
export const introspect = (
  client: Client,
  authorization: string | undefined,
  parameters: Readonly<Record<string, string>> | string,
): Promise<Answer> => postForm(client, '/oauth/introspect', authorization, parameters)

/** Those of the tokens that an instance calls active. */
export const liveOf = async (
  client: Client,
  { authorization }: TestServiceClient,
  tokens: readonly string[],
): Promise<string[]> => {
  const answers = await Promise.all(
    tokens.map((token) => introspect(client, authorization, { token })),
  )
  for (const { status } of answers) if (status !== 200) throw new Error(`introspection: ${status}`)
  return tokens.filter((_, place) => answers[place]?.body.active)
}
