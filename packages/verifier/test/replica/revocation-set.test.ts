import { describe, expect, test } from 'vitest'
import { type Seeded, seeded } from '../../../../test/support/run/seeded.ts'
import { createRevocationSet, type RevocationFacts } from '../../src/replica.ts'
import type { RevocationEntry, RevocationKind } from '../../src/wire.ts'
import { entry, idOf, kidOf, randomEntry, randomId } from '../wire/entries.ts'

/** A token of which nothing is revoked in these tests, unless something is given. */
const facts = (given: Partial<RevocationFacts> = {}): RevocationFacts => ({
  jti: idOf(101),
  sid: idOf(102),
  sub: idOf(103),
  kid: kidOf(104),
  aep: [1, 1, 1],
  ...given,
})

/** The same rules in the plainest way there is, for comparison. */
const plainModel = () => {
  const held = new Map<string, { minEpoch: number; notAfter: number }>()
  return {
    size: () => held.size,
    add: ({ kind, key, minEpoch = 0, notAfter }: RevocationEntry): boolean => {
      const name = `${kind} ${key}`
      const before = held.get(name) ?? { minEpoch: -1, notAfter: 0 }
      const after = {
        minEpoch: Math.max(minEpoch, before.minEpoch),
        notAfter: Math.max(notAfter, before.notAfter),
      }
      held.set(name, after)
      return after.minEpoch !== before.minEpoch || after.notAfter !== before.notAfter
    },
    coverage: ({ jti, sid, sub, kid, aep }: RevocationFacts): RevocationKind[] => {
      const kinds: RevocationKind[] = []
      if (held.has(`jti ${jti}`)) kinds.push('jti')
      if (held.has(`sid ${sid}`)) kinds.push('sid')
      if (held.has(`kid ${kid}`)) kinds.push('kid')
      if (aep[0] < (held.get('everyone ')?.minEpoch ?? 0)) kinds.push('everyone')
      if (aep[1] < (held.get(`sub ${sub}`)?.minEpoch ?? 0)) kinds.push('sub')
      if (aep[2] < (held.get(`claims ${sub}`)?.minEpoch ?? 0)) kinds.push('claims')
      return kinds
    },
    dropEnded: (nowSeconds: number): void => {
      for (const [name, { notAfter }] of held) if (notAfter < nowSeconds) held.delete(name)
    },
  }
}

const pick = <const T>(random: Seeded, list: readonly [T, ...T[]]): T =>
  list[random.next(list.length)] ?? list[0]

describe('coverage', () => {
  test('R79: tokens of a revoked key are dead, and the key can be asked for by itself', () => {
    const set = createRevocationSet()
    set.add(entry('kid', kidOf(7)))
    expect(set.isKeyRevoked(kidOf(7))).toBe(true)
    expect(set.isKeyRevoked(kidOf(8))).toBe(false)
    expect(set.revokedBy(facts({ kid: kidOf(7) }))).toBe('kid')
  })

  test.each([1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52 + 1, Number.MAX_SAFE_INTEGER])(
    'R77: an epoch of %d is compared exactly: tokens of a lower one are dead, those of a login after it live',
    (minEpoch) => {
      const set = createRevocationSet()
      set.add(entry('sub', idOf(3), { minEpoch }))
      expect(set.revokedBy(facts({ sub: idOf(3), aep: [1, minEpoch - 1, 1] }))).toBe('sub')
      expect(set.revokedBy(facts({ sub: idOf(3), aep: [1, minEpoch, 1] }))).toBeUndefined()
    },
  )

  test('an id that differs in a single bit is not covered', () => {
    const random = seeded()
    const set = createRevocationSet()
    for (let round = 0; round < 20; round++) {
      const id = randomId(random)
      set.add(entry('sid', id))
      expect(set.revokedBy(facts({ sid: id }))).toBe('sid')
      for (let bit = 0; bit < 128; bit++) {
        const other = Buffer.from(id, 'base64url')
        other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const sid = other.toString('base64url')
        expect(set.revokedBy(facts({ sid })), `seed ${random.seed}, ${id}`).toBeUndefined()
      }
    }
  })

  test('what is no canonical id is never covered, and cannot be added', () => {
    const set = createRevocationSet()
    set.add(entry('jti', idOf(0)))
    set.add(entry('sub', idOf(0), { minEpoch: 5 }))
    const canonical = idOf(0)
    const wrong = [
      '',
      canonical.slice(1),
      `${canonical}A`,
      `${canonical}==`,
      `${canonical.slice(0, 21)}B`,
      `+${canonical.slice(1)}`,
      `/${canonical.slice(1)}`,
      ` ${canonical.slice(1)}`,
      `\u{100}${canonical.slice(1)}`,
    ]
    for (const id of wrong) {
      expect(set.revokedBy(facts({ jti: id, sid: id, sub: id, kid: id, aep: [0, 0, 0] }))).toBe(
        undefined,
      )
      expect(() => set.add(entry('jti', id))).toThrow(TypeError)
      expect(() => set.add(entry('claims', id, { minEpoch: 1 }))).toThrow(TypeError)
    }
    expect(set.size).toBe(2)
  })

  test('an entry with impossible numbers or keys cannot be added', () => {
    const set = createRevocationSet()
    const wrong = [
      entry('jti', idOf(1), { minEpoch: 1 }),
      entry('sub', idOf(1)),
      entry('sub', idOf(1), { minEpoch: -1 }),
      entry('sub', idOf(1), { minEpoch: 2 ** 53 }),
      entry('sid', idOf(1), { notAfter: 0 }),
      entry('sid', idOf(1), { notAfter: 1.5 }),
      entry('sid', idOf(1), { notAfter: Number.NaN }),
      entry('kid', idOf(1)),
      entry('everyone', idOf(1), { minEpoch: 1 }),
    ]
    for (const one of wrong) expect(() => set.add(one)).toThrow(TypeError)
    expect(set.size).toBe(0)
  })
})

describe('adding and dropping', () => {
  test('R76: neither order nor repetition matters', () => {
    const random = seeded()
    const keys = [idOf(1), idOf(2), idOf(3)] as const
    const entries = Array.from({ length: 60 }, () => {
      const kind = pick(random, ['jti', 'sid', 'sub', 'claims', 'everyone'])
      const notAfter = 1000 + random.next(5)
      if (kind === 'everyone') return entry(kind, '', { minEpoch: random.next(6), notAfter })
      const needsEpoch = kind === 'sub' || kind === 'claims'
      return entry(kind, pick(random, keys), {
        notAfter,
        ...(needsEpoch && { minEpoch: random.next(6) }),
      })
    })
    const questions = Array.from({ length: 200 }, () =>
      facts({
        jti: pick(random, keys),
        sid: pick(random, [...keys, idOf(9)]),
        sub: pick(random, keys),
        aep: [random.next(6), random.next(6), random.next(6)],
      }),
    )
    const answers = (order: readonly RevocationEntry[]) => {
      const set = createRevocationSet()
      for (const one of order) set.add(one)
      const atFirst = questions.map((question) => set.revokedBy(question))
      set.dropEnded(1003)
      return [atFirst, set.size, questions.map((question) => set.revokedBy(question))]
    }
    const expected = answers(entries)
    for (let round = 0; round < 20; round++) {
      const again = random.shuffle([...entries, ...random.shuffle(entries).slice(0, 30)])
      expect(answers(again), `seed ${random.seed}`).toEqual(expected)
    }
  })

  test('behaves like a plain list through random additions, questions and drops', () => {
    const random = seeded()
    const set = createRevocationSet()
    const model = plainModel()
    const pool = Array.from({ length: 4000 }, (_, place) =>
      // Half of the ids are not random at all, so that they fall into few places of the table.
      place % 2 === 0 ? randomId(random) : numberedId(place),
    )
    const anId = () => pool[random.next(pool.length)] ?? idOf(0)
    // Small and large epochs, so that the halves in which they are kept both decide.
    const anEpoch = () => random.next(4) * 2 ** (32 * random.next(2)) + random.next(4)
    const anEntry = (nowSeconds: number) => {
      const kind = pick(random, ['jti', 'sid', 'sub', 'claims'])
      const needsEpoch = kind === 'sub' || kind === 'claims'
      const notAfter = nowSeconds + random.next(400)
      return entry(kind, anId(), { notAfter, ...(needsEpoch && { minEpoch: anEpoch() }) })
    }
    const disagreements: unknown[] = []
    const compare = (what: unknown, agrees: boolean) => {
      if (!agrees) disagreements.push(what)
    }
    let nowSeconds = 1_767_225_600
    let covered = 0
    for (let step = 0; step < 40_000; step++) {
      const one = anEntry(nowSeconds)
      compare({ step, one }, set.add(one) === model.add(one))
      if (step % 2000 === 0) {
        nowSeconds += random.next(500)
        set.dropEnded(nowSeconds)
        model.dropEnded(nowSeconds)
      }
      const question = facts({
        [pick(random, ['jti', 'sid'])]: anId(),
        sub: anId(),
        aep: [1, anEpoch(), anEpoch()],
      })
      const kinds = model.coverage(question)
      const answer = set.revokedBy(question)
      covered += kinds.length
      compare({ step, question }, answer ? kinds.includes(answer) : kinds.length === 0)
      compare({ step, size: set.size }, set.size === model.size())
    }
    expect(disagreements, `seed ${random.seed}`).toEqual([])
    expect(covered).toBeGreaterThan(1000)
  })

  test('R78: everything goes when it has ended, and takes its memory with it', () => {
    const random = seeded()
    const set = createRevocationSet()
    const entries = Array.from({ length: 20_000 }, () => ({
      ...randomEntry(random),
      notAfter: 1000 + random.next(100),
    }))
    for (const one of entries) set.add(one)
    const fullest = set.bytes
    set.dropEnded(1090)
    const last = entries.filter(({ notAfter }) => notAfter >= 1090)
    const keys = new Set(last.map(({ kind, key }) => `${kind} ${key}`))
    expect(set.size).toBe(keys.size)
    expect(set.bytes).toBeLessThan(fullest / 2)
    for (const { kind, key } of last) {
      const aep = [Number.MAX_SAFE_INTEGER, 1, 1] as const
      if (kind === 'sid') expect(set.revokedBy(facts({ sid: key, aep }))).toBe('sid')
      if (kind === 'jti') expect(set.revokedBy(facts({ jti: key, aep }))).toBe('jti')
      if (kind === 'kid') expect(set.isKeyRevoked(key)).toBe(true)
    }
    set.dropEnded(1100)
    expect(set.size).toBe(0)
    expect(set.bytes).toBe(0)
    expect(set.globalEpoch).toBe(0)
    expect(entries.filter(({ kind, key }) => kind === 'kid' && set.isKeyRevoked(key))).toEqual([])
  })

  test.each([
    { kind: 'jti', named: 'tokens', bytesEach: 33 },
    { kind: 'sub', named: 'accounts', bytesEach: 45 },
  ] as const)(
    'a million $named take at most $bytesEach MB on the way up, and each is found',
    ({ kind, bytesEach }) => {
      const set = createRevocationSet()
      const id = Buffer.alloc(16)
      const idAt = (place: number): string => {
        // Knuth's multiplicative hashing spreads the places; no two are alike because the place itself is in it too.
        id.writeUInt32BE(Math.imul(place, 0x9e3779b1) >>> 0, 0)
        id.writeUInt32BE(place, 12)
        return id.toString('base64url')
      }
      let mostPerEntry = 0
      for (let place = 0; place < 1_000_000; place++) {
        set.add(entry(kind, idAt(place), kind === 'sub' ? { minEpoch: 5 } : {}))
        if (place % 50_000 === 49_999) mostPerEntry = Math.max(mostPerEntry, set.bytes / set.size)
      }
      expect(set.size).toBe(1_000_000)
      expect(mostPerEntry).toBeLessThanOrEqual(bytesEach)
      for (let place = 0; place < 1_000_000; place += 97) {
        expect(set.revokedBy(facts({ [kind]: idAt(place) }))).toBe(kind)
        expect(set.revokedBy(facts({ [kind]: idAt(place + 1_000_000) }))).toBeUndefined()
      }
    },
  )
})

/** 16 bytes that hold a small number: as unlike a random id as can be. */
function numberedId(place: number): string {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32BE(place, 12)
  return bytes.toString('base64url')
}
