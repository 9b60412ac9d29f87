import { describe, expect, onTestFinished, test } from 'vitest'
import {
  costlyRequests,
  fragments,
  run,
  type Sent,
  senderTo,
} from '../../../../test/support/run/cpu-of-requests.ts'
import { newSealedKey, seal } from '../support/sealed.ts'
import { servers } from './guarded-servers.ts'
import { startGuarded } from './start-guarded.ts'

const headerLength = 15_000

/** What a guard reads, and how each begins. */
const places: readonly (readonly [name: string, start: string])[] = [
  ['authorization', 'x'],
  ['authorization', 'Bearer '],
  ['authorization', 'Bearer a.a.'],
  ['cookie', 'x'],
  ['cookie', '__Host-cardea-sealed='],
  ['cookie', '__Host-cardea-sealed=x; __Host-cardea-sealed'],
  ['origin', 'https://'],
  ['sec-fetch-site', 'same-site'],
  ['x-unknown', 'x'],
]

const attacksOn = (plain: Sent): Map<string, Sent> =>
  new Map(
    places.flatMap(([name, start]) =>
      fragments.map((fragment) => {
        const value = `${start}${run(fragment, headerLength)}`
        const sent = { ...plain, headers: { ...plain.headers, [name]: value } }
        return [`${name} ${start} of ${JSON.stringify(fragment)}`, sent] as const
      }),
    ),
  )

describe.each(Object.entries(servers))('behind %s', (_name, startServer) => {
  test.each(['bearer', 'sealed-cookie'] as const)(
    'no header of repeated characters costs a guard for %s much more CPU than a plain request',
    async (credential) => {
      const key = await newSealedKey()
      const { issuer, url } = await startGuarded(startServer, {
        sealedKeys: [key.text],
        guards: { credential, allowedOrigins: ['https://app.example.com'] },
      })
      const token = await issuer.token()
      const headers =
        credential === 'bearer'
          ? { authorization: `Bearer ${token}` }
          : { cookie: `__Host-cardea-sealed=${await seal(token, key)}` }
      const plain = { method: 'POST', path: '/orders', headers }
      const sender = senderTo(url)
      onTestFinished(sender.close)
      expect(await sender.send(plain)).toBe(200)
      expect(await costlyRequests(sender, plain, attacksOn(plain))).toEqual([])
    },
  )
})
