import { expectOk, requestText } from './http-connection.ts'
import { cookieIn, deal, getLane, withConnections } from './http-lanes.ts'
import { type Extent, runLanes, type Sample } from './sample.ts'

/** One login for each body. Returns the values of the cookie with this name. */
export const cookiesFromLogin = async (
  address: string,
  cookieName: string,
  bodies: readonly string[],
): Promise<string[]> =>
  await withConnections(address, 1, async ([connection]) => {
    const cookies: string[] = []
    for (const body of bodies) {
      const answer = await connection?.exchange(requestText('POST', '/login', [], body))
      if (!answer) continue
      expectOk(answer)
      cookies.push(`${cookieName}=${cookieIn(answer.head, cookieName)}`)
    }
    return cookies
  })

/** Requests `path` with each of the cookies in turn. */
export const lookUps =
  (path: string, cookies: readonly string[]) =>
  async (address: string, atOnce: number, extent: Extent): Promise<Sample> =>
    await withConnections(address, atOnce, async (connections) => {
      const lanes = connections.map((connection, lane) => {
        const own = deal(cookies.length, atOnce, lane).map((place) =>
          getLane(connection, path, [`cookie: ${cookies[place]}`]),
        )
        let turn = 0
        return async () => {
          await own[turn % own.length]?.()
          turn += 1
        }
      })
      return await runLanes(lanes, extent)
    })
