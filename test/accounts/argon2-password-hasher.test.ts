import { argon2Sync, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  type Argon2Engine,
  argon2PasswordHasher,
  defaultArgon2Parameters,
  formatPhc,
  loadArgon2,
  loadArgon2Package,
  loadNodeRsArgon2,
  parsePhc,
} from '../../src/accounts/argon2-password-hasher.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import {
  cheapParameters,
  type HasherOptions,
  passwordHasherContract,
} from '../contract/password-hasher.contract.ts'

const maker =
  (load: () => Promise<Argon2Engine>) =>
  async (options: HasherOptions = {}) =>
    argon2PasswordHasher({
      engine: await load(),
      random: systemRandom,
      parameters: cheapParameters,
      ...options,
    })

passwordHasherContract('argon2', maker(loadArgon2Package))
passwordHasherContract('@node-rs/argon2', maker(loadNodeRsArgon2))

const password = 'correct horse battery staple'
const peppers = ['a pepper for both of them']

describe('the two engines', () => {
  test('the loader prefers @node-rs/argon2 when it is installed', async () => {
    expect((await loadArgon2()).name).toBe('@node-rs/argon2')
  })

  test('each verifies what the other made, with and without a pepper', async () => {
    for (const options of [
      {},
      { peppers },
      { parameters: { memoryKib: 512, passes: 3, lanes: 2 } },
    ]) {
      const [first, second] = [
        await maker(loadArgon2Package)(options),
        await maker(loadNodeRsArgon2)(options),
      ]
      const expected = { matches: true, needsRehash: false }
      expect(await first.verify(password, await second.hash(password))).toEqual(expected)
      expect(await second.verify(password, await first.hash(password))).toEqual(expected)
    }
  })

  test('the same salt gives the same bytes, and the same as node:crypto', async () => {
    const engines = [await loadArgon2Package(), await loadNodeRsArgon2()]
    const message = Buffer.from(password)
    for (const secret of [undefined, randomBytes(32)]) {
      for (const cost of [cheapParameters, { memoryKib: 512, passes: 2, lanes: 4 }]) {
        const salt = randomBytes(16)
        const reference = argon2Sync('argon2id', {
          message,
          nonce: salt,
          parallelism: cost.lanes,
          tagLength: 32,
          memory: cost.memoryKib,
          passes: cost.passes,
          ...(secret ? { secret } : {}),
        })
        for (const engine of engines) {
          const tag = await engine.hash(message, { cost, salt, secret })
          expect(tag.equals(reference), `${engine.name} ${cost.lanes} lanes`).toBe(true)
          const phc = formatPhc(cost, salt, tag)
          expect(await engine.verify(phc, message, secret), engine.name).toBe(true)
        }
      }
    }
  })
})

/** An engine that notes what it is asked, on top of the real one. */
const recording = (engine: Argon2Engine) => {
  const verified: { phc: string; secret: Buffer | undefined }[] = []
  const spy: Argon2Engine = {
    ...engine,
    verify: (phc, bytes, secret) => {
      verified.push({ phc, secret })
      return engine.verify(phc, bytes, secret)
    },
  }
  return { spy, verified }
}

describe('the cost of an answer', () => {
  test('R9: the default is m=19456 KiB, t=2, p=1', async () => {
    const hasher = argon2PasswordHasher({ engine: await loadArgon2(), random: systemRandom })
    const { phc } = await hasher.hash(password)
    expect(phc.startsWith('$argon2id$v=19$m=19456,t=2,p=1$')).toBe(true)
    expect(defaultArgon2Parameters).toEqual({ memoryKib: 19_456, passes: 2, lanes: 1 })
  })

  test('R11: an account that does not exist costs the same computation as one that does', async () => {
    const { spy, verified } = recording(await loadArgon2())
    const hasher = argon2PasswordHasher({
      engine: spy,
      random: systemRandom,
      parameters: cheapParameters,
      peppers,
    })
    const stored = await hasher.hash(password)
    await hasher.verify(password, stored)
    await hasher.verify(password, undefined)
    const [real, dummy] = verified
    expect(verified).toHaveLength(2)
    expect(parsePhc(dummy?.phc ?? '')).toEqual(parsePhc(real?.phc ?? ''))
    expect(dummy?.phc).not.toBe(real?.phc)
    expect(dummy?.secret).toEqual(real?.secret)
  })

  test('R4: too long a password reaches no engine', async () => {
    const { spy, verified } = recording(await loadArgon2())
    const hasher = argon2PasswordHasher({ engine: spy, random: systemRandom })
    await expect(hasher.verify('x'.repeat(257), undefined)).rejects.toThrow('256')
    expect(verified).toEqual([])
  })

  test('parameters beyond the limits and an empty pepper are refused when the hasher is built', async () => {
    const engine = await loadArgon2()
    const build = (options: HasherOptions) => () =>
      argon2PasswordHasher({ engine, random: systemRandom, ...options })
    for (const parameters of [
      { memoryKib: 262_145, passes: 1, lanes: 1 },
      { memoryKib: 1024, passes: 0, lanes: 1 },
      { memoryKib: 7, passes: 1, lanes: 1 },
      { memoryKib: 1024.5, passes: 1, lanes: 1 },
    ]) {
      expect(build({ parameters })).toThrow(RangeError)
    }
    expect(build({ peppers: [''] })).toThrow(TypeError)
  })
})
