import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { accountErrors } from '../../src/accounts/index.ts'
import { forwardAuthErrors } from '../../src/forward-auth/index.ts'
import { httpErrors } from '../../src/http/errors.ts'
import { storeErrors } from '../../src/infra/postgres/store-failure.ts'
import { keyErrors } from '../../src/keys/index.ts'
import { tokenErrors } from '../../src/lib/app-error.ts'
import { presenceErrors } from '../../src/lib/caller-presence.ts'
import { loginErrors } from '../../src/login/index.ts'
import { oauthErrors } from '../../src/oauth/index.ts'
import { revocationErrors } from '../../src/revocation/index.ts'
import { sessionErrors } from '../../src/sessions/index.ts'
import { endReasons } from '../../src/sessions/session.ts'
import { codeOf, readPage, sections, tableRows } from './markdown.ts'

const catalogues = {
  accountErrors,
  forwardAuthErrors,
  httpErrors,
  keyErrors,
  loginErrors,
  oauthErrors,
  presenceErrors,
  revocationErrors,
  sessionErrors,
  storeErrors,
  tokenErrors,
}

const page = readPage('docs/reference/errors.md')

const rowsOf = (text: string) =>
  tableRows(text).flatMap(([first, ...rest]) => {
    const code = codeOf(first)
    return code === undefined ? [] : [{ code, rest }]
  })

const defined = Object.values(catalogues).flatMap(({ definitions }) =>
  Object.entries(definitions).map(([code, { status, title }]) => `${code} ${status} ${title}`),
)

describe('the page of errors', () => {
  const reasons = rowsOf(sections(page, 2).get('Why a session ended') ?? '')
  const codes = rowsOf(page).slice(0, -reasons.length)

  test('lists every code with its status and title, once, and no code that does not exist', () => {
    const listed = codes.map(({ code, rest: [status, title] }) => `${code} ${status} ${title}`)
    expect(listed.toSorted()).toEqual([...new Set(defined)].toSorted())
  })

  test('lists every reason for which a session can end, and no other', () => {
    expect(reasons.map(({ code }) => code)).toEqual([...endReasons])
  })
})

test('every catalogue of errors in the source is among those that the page is held against', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  const names = files.flatMap((file) => {
    const source = readFileSync(join('src', file), 'utf8')
    return [...source.matchAll(/const (\w+) = defineErrors\(/g)].map(([, name]) => name)
  })
  expect(names.toSorted()).toEqual(Object.keys(catalogues).toSorted())
})
