/** `@cardea/verifier` as it is published. `npm run bench` builds it first. */
const shipped = (door: string): Promise<unknown> =>
  import(new URL(`../packages/verifier/dist/esm/${door}.js`, import.meta.url).href)

// The compiled code has the types of its sources.
export const { createVerifier } = (await shipped(
  'index',
)) as typeof import('../packages/verifier/src/index.ts')
export const { createReplica, createRevocationSet } = (await shipped(
  'replica',
)) as typeof import('../packages/verifier/src/replica.ts')
export const { decodeFeedBinary, encodeFeedBinary } = (await shipped(
  'wire',
)) as typeof import('../packages/verifier/src/wire.ts')

export type { Verifier } from '../packages/verifier/src/index.ts'
