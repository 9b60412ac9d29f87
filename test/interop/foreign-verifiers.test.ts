import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Config } from '../../src/config/index.ts'
import type { SigningAlgorithm } from '../../src/keys/index.ts'
import { readPage, tableRows } from '../documentation/markdown.ts'
import { aheadClock } from '../support/clocks/wrong-clock.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { freePort } from '../support/servers/free-port.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { badTokensFrom, decodePart } from './bad-tokens.ts'
import { guidePage } from './guide-code.ts'
import { libraries, shop, startVerifier } from './libraries.ts'

const algorithms: readonly SigningAlgorithm[] = ['ES256', 'RS256', 'Ed25519']

/** The guide's table: whether a library can do an algorithm. */
const saysThatItCan = (library: string, algorithm: SigningAlgorithm): boolean => {
  const rows = tableRows(readPage(guidePage))
  const head = rows.find((cells) => cells[0] === 'library')
  const row = rows.find((cells) => cells[0] === library)
  const cell = row?.[head?.indexOf(algorithm) ?? -1]
  if (!cell || !/^(yes|no)\b/.test(cell)) {
    throw new Error(`${guidePage} does not say whether ${library} can do ${algorithm}`)
  }
  return cell.startsWith('yes')
}

describe.each(algorithms)('a service that signs with %s', (algorithm) => {
  const running: { readonly stop: () => Promise<void> }[] = []
  let cardea: Cardea
  let foreignIssuer: Cardea
  let behind: Cardea
  let ahead: Cardea
  let longAgo: Cardea

  beforeAll(async () => {
    const database = await freshDatabase()
    running.push({ stop: database.drop })
    const port = await freePort()
    const config = {
      port,
      issuer: `http://127.0.0.1:${port}`,
      audiences: [shop, 'https://other.example.com'],
      signingAlgorithm: algorithm,
    }
    const start = async (changes: Partial<Config> = {}, aheadMs = 0) => {
      const started = await startCardea({
        database,
        config: { ...config, ...changes },
        ...(aheadMs !== 0 && { clock: aheadClock(aheadMs) }),
      })
      running.unshift(started)
      return started
    }
    cardea = await start()
    if (algorithm !== 'ES256') return
    // The same accounts and keys, so that nothing but the issuer, or the time, is different.
    foreignIssuer = await start({ port: 0, issuer: 'http://other.example.com' })
    // Its tokens have expired by the clock of the library 9 s before they are issued.
    behind = await start({ port: 0, accessTokenSeconds: 1 }, -10_000)
    ahead = await start({ port: 0 }, 10_000)
    longAgo = await start({ port: 0 }, -3_600_000)
  })
  afterAll(async () => {
    for (const one of running) await one.stop()
  })

  const logIn = async (from = cardea, audience = shop): Promise<string> => {
    const answer = await from.client.logIn(await cardea.createAccount(), { audience })
    return answer.accessToken
  }

  describe.each(libraries)('$library', (library) => {
    let verifier: ForeignProcess
    const verdictOn = (token: string) => verifier.ask({ token })

    beforeAll(async () => {
      verifier = await startVerifier(library, cardea.config.issuer, { algorithm })
    })
    afterAll(async () => {
      await verifier?.stop()
    })

    if (!saysThatItCan(library.library, algorithm)) {
      test('cannot verify its tokens, as the guide says, and refuses them', async () => {
        expect(await verdictOn(await logIn())).toHaveProperty('refused')
      })
      return
    }

    const expectAccepted = async (token: string) => {
      const { kid } = decodePart(token, 0)
      expect(await verdictOn(token)).toEqual({ claims: decodePart(token, 1), kid })
    }

    test('accepts a token fresh from a login', async () => {
      await expectAccepted(await logIn())
    })

    test('refuses whatever somebody without the key makes of a token', async () => {
      const token = await logIn()
      const { kid } = decodePart(token, 0)
      const { body } = await cardea.client.get('/.well-known/jwks.json')
      const publicJwk = body.keys.find((key: { kid: string }) => key.kid === kid)
      for (const [name, bad] of await badTokensFrom(token, publicJwk)) {
        expect(await verdictOn(bad), name).toHaveProperty('refused')
      }
      // Not because it refuses everything by now.
      await expectAccepted(token)
    })

    // What a library makes of claims is the same for every algorithm.
    if (algorithm !== 'ES256') return

    test('refuses a token for another audience, and one of another issuer with the same keys', async () => {
      const elsewhere = await logIn(cardea, 'https://other.example.com')
      expect(await verdictOn(elsewhere)).toHaveProperty('refused')
      const foreign = await logIn(foreignIssuer)
      expect(await verdictOn(foreign)).toHaveProperty('refused')
      const good = await logIn()
      expect(decodePart(foreign, 0)).toEqual(decodePart(good, 0))
      await expectAccepted(good)
    })

    test('accepts tokens while its clock and that of Cardea are 10 s apart, in both directions', async () => {
      await expectAccepted(await logIn(ahead))
      await expectAccepted(await logIn(behind))
    })

    test('refuses a token that has expired', async () => {
      const token = await logIn(longAgo)
      expect(decodePart(token, 1)['exp']).toBeLessThan(Date.now() / 1000)
      expect(await verdictOn(token)).toHaveProperty('refused')
    })
  })
})
