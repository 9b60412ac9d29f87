import { generateKeyPairSync } from 'node:crypto'
import type { Signer, VerificationKey } from '../../src/keys/index.ts'
import { newId } from '../../src/lib/machine.ts'
import type { Dice } from './dice.ts'
import { type ServiceInstance, startInstance } from './instance.ts'
import { type Act, newOracle, type Oracle, type SessionRecord } from './oracle.ts'
import type { Timeline } from './timeline.ts'
import type { Truth } from './truth.ts'
import { startNode, type VerifierNode } from './verifier-node.ts'

/** Somebody who logged in, and what their browser holds. */
export type Client = {
  readonly session: SessionRecord
  handle: string
  /** Held before; presenting one is what a thief does, or somebody whose answer got lost. */
  olderHandle: string | undefined
  /** Refreshes under way. */
  underWay: number
  /** Whether the service may have made a later handle that this client did not get. */
  isBehind: boolean
}

/** Where an invariant does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

export type World = {
  readonly dice: Dice
  readonly timeline: Timeline
  readonly oracle: Oracle
  readonly truth: Truth
  readonly accounts: readonly string[]
  readonly instances: ServiceInstance[]
  readonly nodes: VerifierNode[]
  readonly clients: Client[]
  /** What each transaction did that the database may lose. */
  readonly deeds: WeakMap<object, { act?: Act; session?: SessionRecord }>
  readonly signer: () => Signer
  readonly newSigner: () => void
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  /** True time from which on the database answers. */
  databaseBackAtMs: number
  /** Whether the run is over but for coming to rest. */
  isAtRest: boolean
  /** The first thing that went wrong, as an exception of some act. */
  failure: unknown
  /** How often each act was begun, and each invariant looked at with something at stake. */
  readonly tally: Map<string, number>
}

export const issuer = 'https://auth.example.com'

/** Short, so that thousands of lives of tokens and entries fit into a run. */
export const accessTokenSeconds = 30

export const startMs = Date.UTC(2027, 0, 1)

/** Each key signs until it is revoked; what it signed is verified for as long as anybody likes. */
const signers = (dice: Dice) => {
  const verificationKeys = new Map<string, VerificationKey>()
  const make = (): Signer => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const curve = { name: 'ECDSA', namedCurve: 'P-256' }
    const kid = dice.bytes(32).toString('base64url')
    const key = publicKey.toCryptoKey(curve, true, ['verify'])
    verificationKeys.set(kid, { kid, algorithm: 'ES256', key })
    return { kid, algorithm: 'ES256', privateKey }
  }
  let current = make()
  return {
    signer: () => current,
    newSigner: () => {
      current = make()
    },
    verificationKey: (kid: string) => verificationKeys.get(kid),
  }
}

export const count = ({ tally }: World, what: string): void =>
  void tally.set(what, (tally.get(what) ?? 0) + 1)

/** Word of a revocation, from one instance to the others. It may get lost, and takes its time. */
const announceFrom = (world: World, from: () => ServiceInstance) => () => {
  for (const other of world.instances) {
    if (other === from() || world.dice.perMille(100)) continue
    const delayMs = world.dice.between(0, 10)
    world.timeline.after(delayMs, `${other.name} hears of it`, () => other.hear(), other.process)
  }
}

export const addInstance = (world: World, name: string): ServiceInstance => {
  const instance: ServiceInstance = startInstance({
    ...world,
    name,
    isAtRest: () => world.isAtRest,
    announce: announceFrom(world, () => instance),
  })
  return instance
}

export const addNode = (world: World, name: string): VerifierNode =>
  startNode({ ...world, name, instances: () => world.instances })

export type WorldSize = {
  readonly instances: number
  readonly nodes: number
  readonly accounts: number
}

export const newWorld = ({
  dice,
  timeline,
  truth,
  size,
}: Pick<World, 'dice' | 'timeline' | 'truth'> & { readonly size: WorldSize }): World => ({
  dice,
  timeline,
  truth,
  oracle: newOracle(),
  accounts: Array.from({ length: size.accounts }, () => newId(dice.bytes)),
  instances: [],
  nodes: [],
  clients: [],
  deeds: new WeakMap(),
  ...signers(dice),
  databaseBackAtMs: 0,
  isAtRest: false,
  failure: undefined,
  tally: new Map(),
})

/** Nobody has logged in yet, and every verifier is LOADING. */
export const populate = async (world: World, size: WorldSize): Promise<void> => {
  for (const accountId of world.accounts) await world.truth.addAccount(accountId)
  for (let index = 1; index <= size.instances; index += 1) {
    world.instances.push(addInstance(world, `instance ${index}`))
  }
  for (let index = 1; index <= size.nodes; index += 1) {
    world.nodes.push(addNode(world, `verifier ${index}`))
  }
}
