import { loadArgon2 } from '../../src/accounts/index.ts'
import { loadConfig, sizeThreadPool } from '../../src/config/index.ts'
import { answerCalls } from '../calls.ts'
import { type Extent, type Lane, runLanes, type Sample } from '../sample.ts'

sizeThreadPool(loadConfig({}))
const engine = await loadArgon2()

type Hashing = {
  readonly phc: string
  readonly password: string
  readonly atOnce: number
  readonly extent: Extent
}

/** The limit of a login: only the verification of a password with the same parameters, with as many in parallel as the service allows. */
const calls = {
  engine: (_: null): string => engine.name,
  run: async ({ phc, password, atOnce, extent }: Hashing): Promise<Sample> => {
    const bytes = Buffer.from(password)
    const lane: Lane = async () => {
      if (!(await engine.verify(phc, bytes, undefined)))
        throw new Error('the password does not match')
    }
    return await runLanes(
      Array.from({ length: atOnce }, () => lane),
      extent,
    )
  },
}

export type BareHashCalls = typeof calls

answerCalls(calls)
