import { refreshAt, withConnections } from './http-lanes.ts'
import { firstHandle } from './people.ts'
import { runLanes } from './sample.ts'

const atOnce = 16

/** @throws an Error that shows the body */
export const tokenOf = (body: string): string => {
  const token: unknown = JSON.parse(body).access_token
  if (typeof token !== 'string') throw new Error(`the answer has no access token: ${body}`)
  return token
}

/** One real access token of each of these sessions, none of which was refreshed before. */
export const accessTokens = async (
  address: string,
  sessions: readonly number[],
): Promise<string[]> =>
  await withConnections(address, atOnce, async (connections) => {
    const handles = sessions.map(firstHandle)
    const tokens: string[] = []
    let next = 0
    const lanes = connections.map((connection) => async () => {
      const place = next
      next += 1
      tokens.push(tokenOf(await refreshAt(connection, handles, place)))
    })
    await runLanes(lanes, { count: sessions.length })
    return tokens
  })

type NamedIds = { readonly jti: string; readonly sid: string; readonly kid: string }

const part = (token: string, place: number) =>
  JSON.parse(Buffer.from(token.split('.')[place] ?? '', 'base64url').toString())

/** The ids in a token, unchecked because it is our own. */
export const idsOf = (token: string): NamedIds => ({ ...part(token, 1), ...part(token, 0) })
