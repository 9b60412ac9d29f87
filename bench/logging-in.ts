import { deal, loginLane, withConnections } from './http-lanes.ts'
import { emailOf, password } from './people.ts'
import { type Extent, runLanes, type Sample } from './sample.ts'

/** Users 0 to `count - 1`, who log in in turn and repeatedly. */
export const peopleSigningIn = (count: number) => {
  const bodies = Array.from({ length: count }, (_, account) =>
    JSON.stringify({ email: emailOf(account), password }),
  )
  return async (address: string, atOnce: number, extent: Extent): Promise<Sample> =>
    await withConnections(address, atOnce, async (connections) => {
      const lanes = connections.map((connection, lane) => {
        const own = deal(count, atOnce, lane)
        return loginLane(
          connection,
          own.map((place) => bodies[place] ?? ''),
        )
      })
      return await runLanes(lanes, extent)
    })
}
