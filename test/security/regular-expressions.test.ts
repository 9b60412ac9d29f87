import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

/** `npm run check:expressions` looks at the product; here it is shown that it finds what it looks for. */

const tool = new URL('../../tools/regular-expressions/main.ts', import.meta.url).pathname

const checkSources = async (sources: Readonly<Record<string, string>>) => {
  const folder = await mkdtemp(join(tmpdir(), 'cardea-expressions-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  for (const [name, source] of Object.entries(sources)) await writeFile(join(folder, name), source)
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [tool, folder])
    return { stdout, stderr: '', code: 0 }
  } catch (error) {
    // biome-ignore lint/suspicious/noExplicitAny: what execFile rejects with
    const { stdout, stderr, code } = error as any
    return { stdout, stderr: stderr.replaceAll(`${folder}/`, ''), code }
  }
}

test('the check of regular expressions fails for the one that made cookies quadratic', async () => {
  const { code, stderr, stdout } = await checkSources({
    'cookies.ts': 'const a = 1\nexport const outerBlanks = /^[ \\t]+|[ \\t]+$/g\n',
  })
  expect(stderr).toMatch(/^cookies\.ts:2 .* takes 2nd degree polynomial time/)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '1 regular expressions, 1 faults\n' })
})

test('it finds expressions in RegExp(…), in schemas and behind constants of other files', async () => {
  const { code, stderr, stdout } = await checkSources({
    'constants.ts': "export const some = '[ab]*'\nexport const most = 3\n",
    'uses.ts': `import { some, most } from './constants.ts'
const twice = \`^(\${some})*$\`
new RegExp(twice)
RegExp('(a|a)*b', 'u')
export const schema = { pattern: \`^\${some}a\${some}a{\${most}}$\` }
export const harmless = /^[a-z]{1,9}$/
`,
  })
  expect(stderr.split('\n').map((line: string) => line.split(' ')[0])).toEqual([
    'uses.ts:3',
    'uses.ts:4',
    'uses.ts:5',
    '',
  ])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '4 regular expressions, 3 faults\n' })
})

test('it refuses an expression that is put together at run time', async () => {
  const { code, stderr } = await checkSources({
    'made.ts': 'export const made = (text: string) => new RegExp(text)\n',
  })
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'made.ts:1 is put together at run time: write a constant\n',
  })
})

test('it passes expressions that take linear time', async () => {
  const { code, stdout } = await checkSources({
    'good.ts': 'export const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i\n',
  })
  expect({ code, stdout }).toEqual({ code: 0, stdout: '1 regular expressions, 0 faults\n' })
})
