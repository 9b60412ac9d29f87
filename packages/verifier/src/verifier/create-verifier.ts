import { VerifierError } from '../errors.ts'
import { createHttpFeedSource } from '../feed/http-feed-source.ts'
import { createHttpClient, type HttpClient } from '../http/http-client.ts'
import { fetchKeySetFrom } from '../keys/fetch-key-set.ts'
import { type FollowedKeys, followKeys } from '../keys/follow-keys.ts'
import { createReplica, type Replica, type ReplicaEvent } from '../replica.ts'
import { createOpener } from '../tokens/open-sealed.ts'
import { createTokenCheck, type TokenCheck } from '../tokens/token-check.ts'
import { TokenRefused } from '../tokens/token-refused.ts'
import { createEvents } from './events.ts'
import { createIntrospection } from './introspection.ts'
import type { VerifierOptions } from './options.ts'
import { readOptions, type Settings } from './read-options.ts'
import { watchState } from './state-watch.ts'
import type { Verifier, VerifierState, VerifierStats } from './verifier.ts'
import { type Revocations, verifyWith } from './verify.ts'

/** Revocations that are followed in the background. */
type FollowedRevocations = Revocations & { readonly replica: Replica }

/** The replica is not started yet, because its events need the rest of the verifier. */
const followRevocations = (
  { client, endpoint, clock, fraction, introspectionTimeoutMs }: Settings,
  http: HttpClient,
  onEvent: (event: ReplicaEvent) => void,
): FollowedRevocations | undefined => {
  if (client === undefined) return undefined
  const onClockDiffers = (error: Error) => onEvent({ type: 'error', error })
  const source = createHttpFeedSource({ http, endpoint, client, clock, onClockDiffers })
  return {
    replica: createReplica({ source, clock, fraction, onEvent }),
    introspect: createIntrospection({ http, endpoint, client, timeoutMs: introspectionTimeoutMs }),
  }
}

const checkTokens = (settings: Settings, keys: FollowedKeys, replica: Replica | undefined) =>
  createTokenCheck({
    ...settings,
    keyOf: (kid) => {
      // Checked before its signatures are trusted, whatever the cached key set says: a thief of the key can sign anything.
      if (replica?.isKeyRevoked(kid)) {
        throw new VerifierError('token_revoked', { cause: new TokenRefused('revoked by kid') })
      }
      return keys.keyOf(kid)
    },
  })

type Parts = {
  readonly state: () => VerifierState
  readonly keys: FollowedKeys
  readonly replica: Replica | undefined
  readonly tokens: TokenCheck
  readonly snapshotEntries: () => number | undefined
}

/** Computed on demand, so a gauge that is read once a minute costs nothing in between. */
const statsOf = ({ state, keys, replica, tokens, snapshotEntries }: Parts): VerifierStats => {
  const { cached, hits, misses } = tokens.stats()
  return {
    state: state(),
    staleForMs: replica?.staleForMs(),
    snapshotEntries: snapshotEntries(),
    keys: keys.size(),
    keysAgeMs: keys.ageMs(),
    cachedTokens: cached,
    cacheHits: hits,
    cacheMisses: misses,
  }
}

/** Both share everything except the first step, so a sealed token skips no check. */
const verifyBoth = (
  { sealedKeys, policy, clock }: Settings,
  deps: Omit<Parameters<typeof verifyWith>[0], 'nowMs' | 'open' | 'policy'>,
): Pick<Verifier, 'openSealed' | 'opensSealed' | 'verify'> => {
  const common = { ...deps, policy, nowMs: () => clock.nowMs() }
  const openWithoutKeys = async () => {
    throw new TypeError('openSealed needs the option sealed: { keys } of createVerifier')
  }
  const open = sealedKeys === undefined ? openWithoutKeys : createOpener(sealedKeys)
  return {
    verify: verifyWith(common),
    openSealed: verifyWith({ ...common, open }),
    opensSealed: sealedKeys !== undefined,
  }
}

/**
 * Starts at once to follow keys and revocations. One verifier serves a whole process. Every token is refused until both are loaded,
 * so await `ready()` before you accept requests.
 *
 * ```ts
 * const verifier = createVerifier({ issuer, audience, client: { id, secret } })
 * verifier.on('state', (state) => console.log(`revocations are ${state}`))
 * verifier.on('error', (error) => console.warn(error))
 * await verifier.ready(AbortSignal.timeout(10_000))
 * const claims = await verifier.verify(token, { roles: ['editor'] })
 * ```
 *
 * @throws {TypeError} at once, for invalid options
 */
export const createVerifier = (options: VerifierOptions): Verifier => {
  const settings = readOptions(options)
  const http = createHttpClient(settings)
  const events = createEvents()
  let snapshotEntries: number | undefined
  let isClosed = false
  let lastFailure: unknown
  const onError = (error: unknown): void => {
    lastFailure = error
    events.emit('error', error)
  }

  const onReplicaEvent = (event: ReplicaEvent): void => {
    if (event.type === 'error') onError(event.error)
    if (event.type === 'snapshot') {
      snapshotEntries = event.entries
      events.emit('snapshot', { entries: event.entries, reason: event.reason })
    }
    watch.look()
  }

  const state = (): VerifierState => {
    if (isClosed || !keys.isLoaded()) return 'LOADING'
    return revocations === undefined ? 'OFF' : revocations.replica.state()
  }

  const watch = watchState({ current: state, onChange: (now) => events.emit('state', now) })
  const revocations = followRevocations(settings, http, onReplicaEvent)
  const keys = followKeys({
    ...settings,
    fetchKeySet: fetchKeySetFrom(http, settings.endpoint),
    onEvent: (event) => {
      if (event.type === 'error') onError(event.error)
      else events.emit('keys', { kids: event.kids })
      watch.look()
    },
  })
  const replica = revocations?.replica
  const tokens = checkTokens(settings, keys, replica)
  replica?.start()

  return {
    ...verifyBoth(settings, {
      check: tokens.check,
      state,
      lastFailure: () => lastFailure,
      revocations,
    }),
    ready: watch.ready,
    state,
    stats: () => statsOf({ state, keys, replica, tokens, snapshotEntries: () => snapshotEntries }),
    on: events.on,
    off: events.off,
    close: async () => {
      isClosed = true
      watch.end(new VerifierError('not_ready', { cause: new Error('the verifier is closed') }))
      await Promise.all([keys.close(), replica?.close()])
    },
  }
}
