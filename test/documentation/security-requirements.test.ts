import { describe, expect, test } from 'vitest'
import { readPage, tableRows } from './markdown.ts'
import { requirementTests } from './requirement-tests.ts'

const path = 'docs/reference/security-requirements.md'
const page = readPage(path)
const tests = requirementTests()

const isRow = (cells: readonly string[]): boolean => /^\d+$/.test(cells[0] ?? '')
const rows = tableRows(page).filter(isRow)

/** A row whose tests come and go changes its state with them; `tested in part: …` stays as somebody wrote it. */
const stateOf = (state: string, isTested: boolean): string => {
  if (!isTested) return state.startsWith('tested') ? 'no test' : state
  return state.startsWith('tested') ? state : 'tested'
}

const linkTo = (file: string): string => `[${file.replace(/^test\//, '')}](../../${file})`

/** The page with the columns of files and states as the tests of this moment make them. */
const refreshed = page
  .split('\n')
  .map((line) => {
    const [cells] = tableRows(line)
    if (!cells || !isRow(cells)) return line
    const [number = '', requirement, , state = ''] = cells
    const files = tests.get(Number(number)) ?? []
    const links = files.map(linkTo).join(', ')
    return `| ${number} | ${requirement} | ${links} | ${stateOf(state, files.length > 0)} |`
  })
  .join('\n')

describe('the page of security requirements', () => {
  test('names for each row the files with tests of it (`vitest run` on this file with `-u` behind it writes them)', async () => {
    await expect(refreshed).toMatchFileSnapshot(`../../${path}`)
  })

  test('has a row for every number that a test begins with', () => {
    const listed = new Set(rows.map(([number]) => Number(number)))
    expect([...tests.keys()].filter((number) => !listed.has(number))).toEqual([])
  })

  test('lists every number of the requirements once, in order', () => {
    const dropped = [36, 37, 82, 83, 95]
    const all = Array.from({ length: 130 }, (_, index) => index + 1)
    expect(rows.map(([number]) => Number(number))).toEqual(
      all.filter((number) => !dropped.includes(number)),
    )
  })

  test('says of each row without a test why there is none', () => {
    const silent = rows.filter(
      ([, , files, state = '']) => files === '' && !/^(with|does not apply): ./.test(state),
    )
    expect(silent.map(([number, requirement]) => `${number} ${requirement}`)).toEqual([])
  })
})
