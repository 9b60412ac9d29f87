import { Redis } from 'ioredis'
import { vi } from 'vitest'
import { freePort } from './free-port.ts'
import { type RedisServer, startRedis } from './redis-server.ts'

export type ClusterNode = {
  readonly server: RedisServer
  /** To this node alone: what lies elsewhere is refused. */
  readonly client: Redis
}

export type RedisCluster = {
  readonly url: string
  /** The masters, each with a third of the slots, in order. */
  readonly masters: readonly [ClusterNode, ClusterNode, ClusterNode]
  /** Another node, which has everything of `master`. */
  readonly addReplica: (master: ClusterNode) => Promise<ClusterNode>
  readonly masterOf: (key: string) => Promise<ClusterNode>
  /** Resolves when every node has found the cluster whole. */
  readonly isWhole: () => Promise<unknown>
  readonly stop: () => Promise<void>
}

const ranges = [
  [0, 5460],
  [5461, 10_922],
  [10_923, 16_383],
] as const

const eventually = (condition: () => Promise<boolean>) =>
  vi.waitUntil(() => condition().catch(() => false), { interval: 50 })

/** Three masters on the loopback, which come back from a restart as who they were, and empty. `args` are more options of each. */
export const startRedisCluster = async (args: readonly string[] = []): Promise<RedisCluster> => {
  const nodes: ClusterNode[] = []
  const startNode = async (): Promise<ClusterNode & { readonly busPort: number }> => {
    const busPort = await freePort()
    const own = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)]
    const near = ['--cluster-announce-ip', '127.0.0.1', '--repl-diskless-sync-delay', '0']
    const server = await startRedis({ args: [...own, ...near, ...args] })
    const client = new Redis(server.url)
    client.on('error', () => undefined)
    const node = { server, client, busPort }
    nodes.push(node)
    return node
  }
  const stop = async () => {
    for (const { client, server } of nodes) {
      client.disconnect()
      await server.stop()
    }
  }
  const isWhole = () =>
    eventually(async () => {
      const states = await Promise.all(nodes.map(({ client }) => client.cluster('INFO')))
      return states.every(
        (state) =>
          String(state).includes('cluster_state:ok') &&
          String(state).includes('cluster_slots_assigned:16384') &&
          String(state).includes(`cluster_known_nodes:${nodes.length}`),
      )
    })

  try {
    const masters = [await startNode(), await startNode(), await startNode()] as const
    const [first] = masters
    const meet = (node: ClusterNode & { readonly busPort: number }) =>
      first.client.call('CLUSTER', 'MEET', '127.0.0.1', node.server.port, node.busPort)
    for (const [place, node] of masters.entries()) {
      await node.client.call('CLUSTER', 'SET-CONFIG-EPOCH', place + 1)
      await node.client.call('CLUSTER', 'ADDSLOTSRANGE', ...(ranges[place] ?? []))
      if (node !== first) await meet(node)
    }
    await isWhole()
    return {
      url: `redis+cluster://${masters.map(({ server }) => `127.0.0.1:${server.port}`).join(',')}`,
      masters,
      addReplica: async (master) => {
        const node = await startNode()
        await meet(node)
        await isWhole()
        const id = String(await master.client.cluster('MYID'))
        // Refused until it has heard of the master.
        await eventually(() => node.client.call('CLUSTER', 'REPLICATE', id).then(() => true))
        await eventually(async () =>
          String(await node.client.info('replication')).includes('master_link_status:up'),
        )
        return node
      },
      masterOf: async (key) => {
        const slot = Number(await first.client.cluster('KEYSLOT', key))
        return masters[slot <= ranges[0][1] ? 0 : slot <= ranges[1][1] ? 1 : 2]
      },
      isWhole,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
