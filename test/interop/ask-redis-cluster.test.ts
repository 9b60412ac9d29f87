import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { readPage } from '../documentation/markdown.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import {
  type ClusterNode,
  type RedisCluster,
  startRedisCluster,
} from '../support/servers/redis-cluster.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { decodePart } from './bad-tokens.ts'
import { guideVerifier, namedBlock, runGuide } from './guide-code.ts'

const page = 'docs/guides/ask-redis.md'
const intactKey = 'cardea:mirror:intact'
const password = randomBytes(24).toString('hex')

let scratch: ScratchFolder
let cluster: RedisCluster
let cardea: Cardea
let python: ForeignProcess
let shop: Cluster
let isRevoked: (token: string) => Promise<boolean>
let tokens: string[]

const moduleOf = (source: string) =>
  import(/* @vite-ignore */ `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`)

const firstBlock = (pattern: RegExp): string => {
  const found = pattern.exec(readPage(page))?.[1]
  if (!found) throw new Error(`${page} has nothing like ${pattern}`)
  return found
}

const firstUserOf = (users: string): string =>
  users.split('\n').find((line) => line.startsWith('user cardea ')) ?? ''

/** The users of deploy/ and of the guide, for every node, and one who may do everything, for the test. */
const aclFile = async (folder: string): Promise<string> => {
  const digest = createHash('sha256').update(password).digest('hex')
  const users = await readFile(new URL('../../deploy/redis/users.acl', import.meta.url), 'utf8')
  const own = firstUserOf(users).replace('PASSWORD_SHA256', digest)
  const shopUser = firstBlock(/^ACL SETUSER (shop .*)$/m).replace('>PASSWORD', `#${digest}`)
  const shopMore = firstBlock(/In a cluster, on every node, add (.*) for the client/)
  const lines = [
    'user default on nopass ~* &* +@all',
    own,
    `user ${shopUser} ${[...shopMore.matchAll(/`([^`]+)`/g)].map(([, one]) => one).join(' ')}`,
  ]
  const file = join(folder, 'users.acl')
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}

beforeAll(async () => {
  scratch = await scratchFolder('cluster-acl')
  cluster = await startRedisCluster(['--aclfile', await aclFile(scratch.path)])
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  cardea = await startCardea({
    redisUrl: cluster.url.replace('//', `//cardea:${password}@`),
    config: { port, issuer, audiences: [issuer] },
  })
  const [{ server }] = cluster.masters
  python = await runGuide(
    'python',
    'ask-redis.py',
    [
      guideVerifier(issuer),
      {
        page,
        name: 'cardea_redis_cluster.py',
        replace: { 'redis://127.0.0.1:6379': `redis://shop:${password}@127.0.0.1:${server.port}` },
      },
    ],
    ['cardea_redis_cluster'],
  )
  shop = new Cluster([{ host: '127.0.0.1', port: server.port }], {
    clusterNodeRetryStrategy: () => 100,
    redisOptions: { username: 'shop', password, commandTimeout: 5_000, maxRetriesPerRequest: 0 },
  })
  shop.on('error', () => undefined)
  const { isRevoked: ask } = await moduleOf(firstBlock(/^```js\n([\s\S]*?)^```$/m))
  const slots = pathToFileURL(createRequire(import.meta.url).resolve('cluster-key-slot')).href
  const { inCluster } = await moduleOf(
    namedBlock(page, 'redis-cluster.mjs').replace("'cluster-key-slot'", `'${slots}'`),
  )
  const client = inCluster(shop)
  isRevoked = (token) => ask(client, decodePart(token, 1), decodePart(token, 0)['kid'])

  const account = await cardea.createAccount()
  const operator = await cardea.operatorToken()
  tokens = []
  for (let made = 0; made < 12; made += 1) {
    const { accessToken } = await cardea.client.logIn(account)
    tokens.push(accessToken)
    const body = { jti: decodePart(accessToken, 1)['jti'] }
    expect((await cardea.client.post('/admin/revoke', { token: operator, body })).status).toBe(200)
  }
})
afterAll(async () => {
  shop?.disconnect()
  await python?.stop()
  await cardea?.stop()
  await cluster?.stop()
  await scratch?.remove()
})

/** Asks about each revoked token again and again, until `isOver`; counts the answers. */
const askUntil = async (isOver: () => boolean) => {
  const answers = { revoked: 0, unknown: 0, accepted: 0 }
  const count = (isIt: boolean) => {
    if (isIt) answers.revoked += 1
    else answers.accepted += 1
  }
  while (!isOver()) {
    for (const token of tokens) {
      await isRevoked(token).then(count, () => {
        answers.unknown += 1
      })
    }
    const { revoked } = await python.ask({ token: tokens[answers.unknown % tokens.length] })
    if (revoked !== undefined) count(revoked)
  }
  return answers
}

const allKnown = () =>
  vi.waitUntil(
    async () => {
      const found = await Promise.all(
        tokens.map(async (token) => {
          const elsewhere = await python.ask({ token })
          return (await isRevoked(token).catch(() => false)) && elsewhere.revoked === true
        }),
      )
      return !found.includes(false)
    },
    { interval: 100 },
  )

/** Counts how often the mark of the whole was removed. */
const watchMark = async () => {
  const { client } = await cluster.masterOf(intactKey)
  await client.config('SET', 'notify-keyspace-events', 'Kg')
  const watcher = client.duplicate()
  let removals = 0
  watcher.on('message', (_, event) => {
    if (event === 'del') removals += 1
  })
  await watcher.subscribe(`__keyspace@0__:${intactKey}`)
  return { removals: () => removals, stop: () => watcher.disconnect() }
}

test('R71: while masters of a cluster lose their share one after the other, services that ask as the guide says accept no revoked token, and know all again by themselves', async () => {
  await allKnown()
  const own = await cluster.masterOf(intactKey)
  const [flushed, restarted] = cluster.masters.filter((node) => node !== own)
  const mark = await watchMark()
  const lose = async (
    node: ClusterNode | undefined,
    how: (of: ClusterNode) => Promise<unknown>,
  ) => {
    if (!node) throw new Error('a cluster has three masters')
    const before = mark.removals()
    let isOver = false
    const asking = askUntil(() => isOver)
    await how(node)
    await vi.waitUntil(() => mark.removals() > before, { interval: 10 })
    const trusted = () => own.client.exists(intactKey)
    await vi.waitUntil(async () => (await trusted()) === 1, { interval: 50 })
    isOver = true
    expect((await asking).accepted).toBe(0)
    await allKnown()
  }
  await lose(flushed, ({ client }) => client.flushall())
  await lose(restarted, async ({ server }) => {
    await server.restart()
    await cluster.isWhole()
  })
  mark.stop()
})

test('R129: neither Cardea nor a service that asks needs more of a cluster than the documentation says', async () => {
  for (const { client } of cluster.masters) {
    const log: unknown = await client.acl('LOG')
    const refusals = Array.isArray(log) ? log.map(String) : []
    expect(refusals.filter((entry) => !/setinfo/i.test(entry))).toEqual([])
  }
})
