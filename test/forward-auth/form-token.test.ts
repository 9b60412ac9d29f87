import { expect, test } from 'vitest'
import { formTokens, isFormCookie } from '../../src/forward-auth/form-token.ts'
import { keyLabels, secretRing } from '../../src/keys/index.ts'

const oldSecret = 'the first secret of these tests, long enough'
const newSecret = 'the second secret of these tests, long enough'
const tokensOf = (...secrets: string[]) =>
  formTokens(secretRing(secrets).derive(keyLabels.loginForm))

const cookie = 'AAAAAAAAAAAAAAAAAAAAAA'

test('R68: a field fits its cookie and its return address, and no other', () => {
  const forms = tokensOf(oldSecret)
  const field = forms.write(cookie, 'return')
  expect(forms.fits(field, cookie, 'return')).toBe(true)
  expect(forms.fits(field, cookie, '')).toBe(false)
  expect(forms.fits(field, cookie, 'returns')).toBe(false)
  expect(forms.fits(field, 'AAAAAAAAAAAAAAAAAAAAAQ', 'return')).toBe(false)
  for (const other of ['', 'x', cookie, field.slice(0, -1), `${field}A`, `${field}=`]) {
    expect(forms.fits(other, cookie, 'return'), other).toBe(false)
  }
})

test('R68: every listed secret verifies, and no other', () => {
  const field = tokensOf(oldSecret).write(cookie, '')
  expect(tokensOf(newSecret, oldSecret).fits(field, cookie, '')).toBe(true)
  expect(tokensOf(newSecret).fits(field, cookie, '')).toBe(false)
  expect(() => formTokens([])).toThrow(TypeError)
})

test('only a value of the form that is given out counts as a cookie of ours', () => {
  expect(isFormCookie(cookie)).toBe(true)
  for (const value of [
    undefined,
    '',
    'x',
    `${cookie}A`,
    `${cookie.slice(0, -1)}B`,
    `"${cookie}"`,
  ]) {
    expect(isFormCookie(value), value).toBe(false)
  }
})
