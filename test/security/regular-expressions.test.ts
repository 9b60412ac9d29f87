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

test('the check of regular expressions finds what takes longer than linear time, in RegExp(…), in schemas and behind constants of other files, and what is put together at run time', async () => {
  const { code, stderr, stdout } = await checkSources({
    // The one that made cookies quadratic.
    'cookies.ts': 'const a = 1\nexport const outerBlanks = /^[ \\t]+|[ \\t]+$/g\n',
    'constants.ts': "export const some = '[ab]*'\nexport const most = 3\n",
    'made.ts': 'export const made = (text: string) => new RegExp(text)\n',
    'uses.ts': `import { some, most } from './constants.ts'
const twice = \`^(\${some})*$\`
new RegExp(twice)
RegExp('(a|a)*b', 'u')
export const schema = { pattern: \`^\${some}a\${some}a{\${most}}$\` }
export const harmless = /^[a-z]{1,9}$/
`,
  })
  const faults: string[] = stderr.trim().split('\n').toSorted()
  const places = ['cookies.ts:2', 'made.ts:1', 'uses.ts:3', 'uses.ts:4', 'uses.ts:5']
  expect(faults.map((line) => line.split(' ')[0])).toEqual(places)
  expect(faults[0]).toMatch(/^cookies\.ts:2 .* takes 2nd degree polynomial time/)
  expect(faults[1]).toBe('made.ts:1 is put together at run time: write a constant')
  expect({ code, stdout }).toEqual({ code: 1, stdout: '5 regular expressions, 5 faults\n' })
})

test('it passes expressions that take linear time', async () => {
  const { code, stdout } = await checkSources({
    'good.ts': 'export const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i\n',
  })
  expect({ code, stdout }).toEqual({ code: 0, stdout: '1 regular expressions, 0 faults\n' })
})
