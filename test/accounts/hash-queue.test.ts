import { describe, expect, test } from 'vitest'
import type { PasswordHasher } from '../../src/accounts/argon2-password-hasher.ts'
import { boundedPasswordHasher } from '../../src/accounts/hash-queue.ts'

/** A hasher whose work ends only when the test says so. */
const heldHasher = () => {
  const finish: (() => void)[] = []
  let started = 0
  const held = async <Result>(result: Result): Promise<Result> => {
    started += 1
    await new Promise<void>((resolve) => finish.push(resolve))
    return result
  }
  const hasher: PasswordHasher = {
    hash: () => held({ phc: 'phc', pepperId: undefined }),
    verify: () => held({ matches: true, needsRehash: false }),
  }
  return { hasher, finishOne: () => finish.shift()?.(), started: () => started }
}

/** Lets everything that can run without the test's doing run. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

const busy = { code: 'server_busy', status: 503, retryAfterSeconds: 1 }

describe('a bounded password hasher', () => {
  test('R108: it runs so many at once, lets so many wait, and refuses the rest before hashing', async () => {
    const { hasher, finishOne, started } = heldHasher()
    const bounded = boundedPasswordHasher(hasher, { concurrency: 2, queue: 3 })
    const accepted = [
      bounded.hash('a'),
      bounded.verify('b', undefined),
      bounded.verify('c', undefined),
      bounded.hash('d'),
      bounded.hash('e'),
    ]
    expect(bounded.assertQueueCapacity).toThrow(expect.objectContaining(busy))
    await expect(bounded.hash('f')).rejects.toMatchObject(busy)
    await expect(bounded.verify('g', undefined)).rejects.toMatchObject(busy)
    await settle()
    expect(started()).toBe(2)

    finishOne()
    await settle()
    expect(started()).toBe(3)
    // Asking takes no place: it may be asked again, and then taken.
    bounded.assertQueueCapacity()
    bounded.assertQueueCapacity()
    const late = bounded.hash('h')
    await expect(bounded.hash('i')).rejects.toMatchObject(busy)

    for (let left = 5; left > 0; left -= 1) {
      finishOne()
      await settle()
    }
    await Promise.all([...accepted, late])
    expect(started()).toBe(6)
  })

  test('a hash that fails gives its place back and its error to its caller only', async () => {
    const failing: PasswordHasher = {
      hash: () => Promise.reject(new Error('out of memory')),
      verify: async () => ({ matches: true, needsRehash: false }),
    }
    const bounded = boundedPasswordHasher(failing, { concurrency: 1, queue: 0 })
    await expect(bounded.hash('a')).rejects.toThrow('out of memory')
    await settle()
    expect(await bounded.verify('b', undefined)).toEqual({ matches: true, needsRehash: false })
  })

  test('answers and arguments pass through unchanged', async () => {
    const stored = { phc: 'phc', pepperId: 'pepperid' }
    const seen: unknown[] = []
    const hasher: PasswordHasher = {
      hash: async (password) => {
        seen.push([password])
        return stored
      },
      verify: async (...input) => {
        seen.push(input)
        return { matches: false, needsRehash: false }
      },
    }
    const bounded = boundedPasswordHasher(hasher, { concurrency: 1, queue: 1 })
    expect(await bounded.hash('a')).toBe(stored)
    expect(await bounded.verify('b', stored)).toEqual({ matches: false, needsRehash: false })
    expect(seen).toEqual([['a'], ['b', stored]])
  })

  test('bounds that make no sense are refused when it is built', () => {
    const { hasher } = heldHasher()
    for (const options of [
      { concurrency: 0, queue: 1 },
      { concurrency: 1.5, queue: 1 },
      { concurrency: 1, queue: -1 },
      { concurrency: 1, queue: Number.NaN },
    ]) {
      expect(() => boundedPasswordHasher(hasher, options)).toThrow(TypeError)
    }
  })
})
