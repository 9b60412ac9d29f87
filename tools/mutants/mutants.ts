/**
 * Plausible bugs, each of which a test must find. When the code around a bug changes, `find` no longer matches and the run says so: write
 * the bug again for the new code.
 */

/** `find` must occur exactly once in the file. */
export type Edit = { readonly file: string; readonly find: string; readonly replace: string }

export type Mutant = {
  readonly name: string
  readonly edits: readonly Edit[]
  /** The tests that must find it. */
  readonly tests: string
}

const inMemory = 'test/simulation/in-memory.test.ts'
const onPostgres = 'test/simulation/on-postgres.test.ts'
const holders = 'test/simulation/holders.test.ts'

const replica = 'packages/verifier/src/replica'
const readLog = 'src/revocation/postgres-read-log.ts'
const sessionStore = 'src/sessions/session-store.ts'
const rotationStore = 'src/refresh/rotation-store.ts'
const decision = 'src/refresh/decide-refresh.ts'

const cursor = 'src/revocation/feed-cursor.ts'

const nextSeq = '(SELECT coalesce(max(seq), 0) + 1 FROM revocations)'

export const mutants: readonly Mutant[] = [
  {
    name: 'a handle that was believed lost counts as presented',
    edits: [
      {
        file: decision,
        find: 'presented.generation === state.presentedGeneration',
        replace: 'presented.generation >= state.presentedGeneration',
      },
    ],
    tests: holders,
  },
  {
    name: 'the rule for lost responses applies to older handles',
    edits: [
      {
        file: decision,
        find: 'presented.generation === state.presentedGeneration',
        replace: 'presented.generation <= state.presentedGeneration',
      },
    ],
    tests: holders,
  },
  {
    name: 'a rotation leaves the presented generation behind',
    edits: [
      {
        file: sessionStore,
        find: 'CASE WHEN s.reissued_generation = s.generation THEN',
        replace: 'CASE WHEN s.reissued_generation IS NOT NULL THEN',
      },
    ],
    tests: holders,
  },
  {
    name: 'the grace goes by the clock of the machine',
    edits: [
      {
        file: 'src/infra/postgres/database-clock.ts',
        find: 'Math.floor(local.monotonicMs() + offsetMs)',
        replace: 'Math.floor(local.nowMs())',
      },
    ],
    tests: holders,
  },
  {
    name: 'a handle given out late in its grace can be replaced a moment later',
    edits: [
      {
        file: decision,
        find: "if (sinceMs < graceMs / 2) return { kind: 'repeat', facts: state }",
        replace: "if (sinceMs < graceMs) return { kind: 'repeat', facts: state }",
      },
    ],
    tests: holders,
  },
  {
    name: 'a request that waited for long decides about its session',
    edits: [
      {
        file: 'src/refresh/refresh-session.ts',
        find: 'if (clock.monotonicMs() - beganMs <= mayTakeMs) return',
        replace: 'if (mayTakeMs > 0) return',
      },
    ],
    tests: holders,
  },
  {
    name: 'the feed goes on from the last sequence number',
    edits: [
      {
        file: readLog,
        find: 'SELECT seen::text AS snapshot',
        replace: `SELECT format('%s:%s:', ${nextSeq}, ${nextSeq}) AS snapshot`,
      },
      {
        file: readLog,
        find: 'SELECT r.xid::text, kind',
        replace: 'SELECT r.seq::text AS xid, kind',
      },
      { file: readLog, find: 'r.xid >= $2::xid8', replace: 'r.seq >= $2::bigint' },
      {
        file: readLog,
        find: 'hasNotEnded} ORDER BY r.xid',
        replace: 'hasNotEnded} ORDER BY r.seq',
      },
    ],
    tests: onPostgres,
  },
  {
    name: 'the feed goes on from the newest transaction',
    edits: [
      {
        file: cursor,
        find: "running: running === '' ? [] : running.split(',').map(BigInt)",
        replace: 'running: []',
      },
    ],
    tests: onPostgres,
  },
  {
    name: 'a read for several followers takes what one of them has seen for seen by all',
    edits: [
      {
        file: cursor,
        find: 'if (transaction < next) running.add(transaction)',
        replace:
          'if (cursors.every((other) => !hasSeen(other, transaction))) running.add(transaction)',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'the lease is counted from the answer',
    edits: [
      {
        file: `${replica}/follow-feed.ts`,
        find: 'this.#renew(startedAtMs)\n    const repeats',
        replace: 'this.#renew(clock.monotonicMs())\n    const repeats',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a token gets the epochs of now, not those of its session',
    edits: [
      {
        file: rotationStore,
        find: 'rotateStatement, rotationValues(rotation))\n  return row?.facts',
        replace: `rotateStatement, rotationValues(rotation))
    const [now] = await sql.query<{ global: number; account: number }>({
      name: 'mutant_epochs',
      text: \`SELECT i.global_epoch AS global, a.epoch AS account
        FROM instance i, sessions s JOIN accounts a ON a.id = s.account_id WHERE s.id = $1\`,
    }, [idToBytes(rotation.sessionId)])
    const facts = row?.facts
    return facts && { ...facts, globalEpoch: now?.global, accountEpoch: now?.account }`,
      },
    ],
    tests: onPostgres,
  },
  {
    name: 'a token is issued as of its signing, not of the reading of what it says',
    edits: [
      {
        file: 'src/tokens/mint-access-token.ts',
        find: 'buildClaims(subject, {',
        replace: 'buildClaims({ ...subject, factsReadAtMs: deps.clock.nowMs() }, {',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'only the token itself is looked up',
    edits: [
      {
        file: `${replica}/revocation-set.ts`,
        find: 'const [global, account, claims] = aep\n',
        replace: `const [global, account, claims] = aep
    if (this.#jti.minEpochOf(jti) < 0) return undefined
`,
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a stale replica calls itself fresh',
    edits: [
      {
        file: `${replica}/lease.ts`,
        find: "this.leftMs() > 0 ? 'FRESH' : 'STALE'",
        replace: "this.leftMs() > 0 || !this.#isClosed ? 'FRESH' : 'STALE'",
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a page of another log is taken for more of the same',
    edits: [
      {
        file: `${replica}/follow-feed.ts`,
        find: "if (page.feedId !== this.#feedId) throw new FeedGapError('the page is of another log')",
        replace: '',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'an entry is dropped a minute early',
    edits: [
      {
        file: `${replica}/revocation-set.ts`,
        find: 'table.dropEnded(nowSeconds)',
        replace: 'table.dropEnded(nowSeconds + 60)',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a part of a page is forgotten',
    edits: [
      {
        file: `${replica}/held-revocations.ts`,
        find: 'if (set.add(entry)) news += 1',
        replace: 'if (seen % 16 !== 15 && set.add(entry)) news += 1',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a token of the new epoch is refused with the old ones',
    edits: [
      {
        file: `${replica}/revocation-set.ts`,
        find: 'if (account < this.#sub.minEpochOf(sub))',
        replace: 'if (account <= this.#sub.minEpochOf(sub))',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'an epoch that comes late lowers a higher one',
    edits: [
      {
        file: `${replica}/id-segment.ts`,
        find: 'minEpoch > this.#epochAt(at)',
        replace: 'minEpoch !== this.#epochAt(at)',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a question is answered from a reading that had begun before it',
    edits: [
      {
        file: 'src/revocation/revocation-feed.ts',
        find: '      gathering = undefined\n',
        replace: '',
      },
      {
        file: 'src/revocation/revocation-feed.ts',
        find: 'return work(requests)',
        replace: 'return work(requests).finally(() => { gathering = undefined })',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'entries are kept for the life of a token and no longer',
    edits: [
      {
        file: 'src/revocation/revocation.ts',
        find: '(longestTokenSeconds + leewaySeconds + mintSlackSeconds) * 1000',
        replace: 'longestTokenSeconds * 1000',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a reused handle ends the session and not its tokens',
    edits: [
      {
        file: 'src/sessions/end-session.ts',
        find: 'if (!ended) return false',
        replace: "if (!ended) return false\n  if (end.reason === 'token_reuse') return true",
      },
    ],
    tests: inMemory,
  },
  {
    name: 'a refresh does not look at the global epoch',
    edits: [
      {
        file: rotationStore,
        find: '\n    AND i.global_epoch = s.global_epoch`',
        replace: '`',
      },
    ],
    tests: onPostgres,
  },
  {
    name: 'that the clock was set back is noticed at the next question only',
    edits: [
      {
        file: `${replica}/create-replica.ts`,
        find: 'this.#follower.startOverWhenForgetful()\n    return this.#lease.state()',
        replace: 'return this.#lease.state()',
      },
    ],
    tests: inMemory,
  },
  {
    name: 'after a restore an instance keeps what it held, for it revoked everyone itself',
    edits: [
      {
        file: `${replica}/held-revocations.ts`,
        find: 'globalEpochOf(entries) <= this.#followedEpoch',
        replace: 'globalEpochOf(entries) <= this.#set.globalEpoch',
      },
    ],
    tests: inMemory,
  },
]
