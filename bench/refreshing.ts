import { deal, refreshLane, withConnections } from './http-lanes.ts'
import { firstHandle } from './people.ts'
import { type Extent, runLanes, type Sample } from './sample.ts'

/** Clients that hold one refresh token each and use it repeatedly. */
export type Refreshers = {
  readonly run: (address: string, atOnce: number, extent: Extent) => Promise<Sample>
}

/** The clients of these sessions, none of which was refreshed before. */
export const refreshersOf = (sessions: readonly number[]): Refreshers => {
  const handles = sessions.map(firstHandle)
  return {
    run: async (address, atOnce, extent) =>
      await withConnections(address, atOnce, async (connections) => {
        const lanes = connections.map((connection, lane) =>
          refreshLane(connection, handles, deal(handles.length, atOnce, lane)),
        )
        return await runLanes(lanes, extent)
      }),
  }
}

/** `count` numbers, starting with `first`. */
export const range = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, place) => first + place)
