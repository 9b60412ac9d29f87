import type { TestSpecification } from 'vitest/node'
import { BaseSequencer } from 'vitest/node'

/** Folders and files that take longest, the slowest first: one that begins last keeps the other processors waiting for it. */
const slowest = [
  'test/concurrency/race-logout-disable',
  'test/e2e/',
  'test/faults/',
  'test/concurrency/',
  'test/simulation/',
  'test/proxies/',
  'test/interop/',
  'test/cli/',
  'packages/verifier/test/packaging/',
  'test/infra/',
]

const rankOf = ({ moduleId }: TestSpecification): number => {
  const rank = slowest.findIndex((part) => moduleId.includes(`/${part}`))
  return rank === -1 ? slowest.length : rank
}

/** By a list and not by the times of the last run, which a clean clone does not have. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((one, other) => rankOf(one) - rankOf(other))
  }
}
