import { describe, expect, test } from 'vitest'
import { codeOf, readPage, sections, tableRows } from '../../../../test/documentation/markdown.ts'
import { type Refusal, type RefusalCode, refusalOf } from '../../src/guards/refusal.ts'
import {
  VerifierError,
  type VerifierErrorCode,
  type VerifierEvents,
  type VerifierOptions,
  type VerifierState,
  type VerifyOptions,
} from '../../src/index.ts'

const page = readPage('packages/verifier/README.md')

const rowsOf = (heading: string) =>
  tableRows(sections(page, 2).get(heading) ?? '').flatMap(([first, ...rest]) => {
    const code = codeOf(first)
    return code === undefined ? [] : [{ code, rest }]
  })

const namesIn = (heading: string) => rowsOf(heading).map(({ code }) => code)

/** The compiler refuses a list that lacks a name or has one too many. */
const namesOf = <Name extends string>(all: Readonly<Record<Name, true>>) => Object.keys(all)

describe('the README', () => {
  test('lists every code with the status and the challenge that adapters answer with', () => {
    const codes: Readonly<Record<VerifierErrorCode, true>> = {
      token_missing: true,
      token_invalid: true,
      token_expired: true,
      token_revoked: true,
      authentication_too_old: true,
      insufficient_scope: true,
      insufficient_role: true,
      forbidden_origin: true,
      cross_site_origin: true,
      revocation_state_unknown: true,
      keys_unavailable: true,
      not_ready: true,
    }
    const isCode = (code: string): code is VerifierErrorCode => Object.hasOwn(codes, code)
    const challengeOf = ({ headers }: Refusal) => {
      const challenge = headers['www-authenticate']
      if (challenge === undefined) return 'none'
      const error = /error="(\w+)"/.exec(challenge)?.[1]
      return error === undefined ? 'no error' : `\`${error}\``
    }
    const thrown: Error[] = Object.keys(codes)
      .filter(isCode)
      .map((code) => new VerifierError(code))
    const answers = [...thrown, new Error('a surprise')]
      .map((error) => refusalOf(error, { realm: 'api', scopes: [] }))
      .map((refusal) => [refusal.code, String(refusal.status), challengeOf(refusal)])
    const listed = rowsOf('Errors').map(({ code, rest: [status, challenge] }) => [
      code,
      status,
      challenge,
    ])
    expect(listed).toEqual(answers)
  })

  test('quotes a refusal as it is sent', () => {
    const quoted = /```json\n(.+)\n```/.exec(page)?.[1] ?? ''
    const code: RefusalCode = 'token_revoked'
    const { problem } = refusalOf(new VerifierError(code), { realm: 'api', scopes: [] })
    expect(JSON.parse(quoted)).toEqual(problem)
  })

  test('lists every option, and no other', () => {
    const options = namesOf<keyof VerifierOptions>({
      issuer: true,
      audience: true,
      client: true,
      endpoint: true,
      revocations: true,
      sealed: true,
      policy: true,
      maxCachedTokens: true,
      introspectionTimeoutMs: true,
      allowInsecureHttp: true,
      fetch: true,
      clock: true,
      fraction: true,
    })
    expect(namesIn('Options').toSorted()).toEqual(options.toSorted())
  })

  test('lists everything that a route can ask for', () => {
    const members = namesOf<keyof VerifyOptions>({
      scopes: true,
      roles: true,
      maxAuthAgeSeconds: true,
      policy: true,
    })
    expect(namesIn('Guard routes')).toEqual(members)
  })

  test('lists every state and every policy', () => {
    const states = namesOf<VerifierState>({ LOADING: true, FRESH: true, STALE: true, OFF: true })
    const policies = ["'deny'", "'introspect'", '{ bounded: 60 }', "'accept-until-exp'"]
    expect(namesIn('When revocations are not known')).toEqual([...states, ...policies])
  })

  test('lists every event', () => {
    const events = namesOf<keyof VerifierEvents>({
      state: true,
      snapshot: true,
      keys: true,
      error: true,
    })
    expect(namesIn('Events, and the state as a metric')).toEqual(events)
  })

  test('leads nowhere that is not in the package: whoever installed it has no other files', () => {
    const targets = [...page.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target)
    const anchors = [...page.matchAll(/^##+ (.+)$/gm)].map(
      ([, title]) =>
        `#${title
          ?.toLowerCase()
          .replaceAll(/[^a-z0-9 ]/g, '')
          .replaceAll(' ', '-')}`,
    )
    for (const target of targets) expect(anchors).toContain(target)
  })
})
