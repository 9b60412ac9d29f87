import type { FollowingCalls } from './children/following.ts'
import type { Server, Stage } from './stage.ts'

/** Verifiers in several processes that all follow one service. */
export type Replicas = {
  /** Resolves when all accept the token and watch for its revocation. */
  readonly watch: (token: string) => Promise<void>
  /** Resolves when all refuse it: how long after `atMs` the last of them accepted it, milliseconds; 0 when none did. */
  readonly lastAcceptedAfterMs: (atMs: number) => Promise<number>
  readonly end: () => Promise<void>
}

type Size = { readonly replicas: number; readonly processes: number }

export const startReplicas = async (
  stage: Stage,
  server: Server,
  { replicas, processes }: Size,
): Promise<Replicas> => {
  const client = await server.call('createClient', `replicas-${replicas}`)
  const children = Array.from({ length: processes }, () => stage.child<FollowingCalls>('following'))
  const verifiers = replicas / processes
  const onAll = async <Result>(
    ask: (child: (typeof children)[number]) => Promise<Result>,
  ): Promise<Result[]> => await Promise.all(children.map(ask))
  await onAll((child) => child.call('open', { address: server.address, client, verifiers }))
  return {
    watch: async (token) => {
      await onAll((child) => child.call('watch', token))
    },
    lastAcceptedAfterMs: async (atMs) => {
      const times = await onAll((child) => child.call('refused', null))
      return Math.max(0, ...times.flat().map((lastMs) => lastMs - atMs))
    },
    end: async () => {
      await onAll((child) => child.end())
    },
  }
}

/** The clock of the children: milliseconds since the Unix epoch, with fractions. */
export const sharedNowMs = (): number => performance.timeOrigin + performance.now()
