import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const project = fileURLToPath(new URL('../../', import.meta.url))

const folders = ['src', 'test', 'bench', 'tools', 'docs', 'deploy', 'migrations']

const filesIn = async (folder: string): Promise<string[]> => {
  const entries = await readdir(join(project, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(project.length))
    .filter((path) => !path.startsWith('bench/results/'))
}

const every = async (): Promise<string[]> => (await Promise.all(folders.map(filesIn))).flat()

/** Names that say nothing of what is inside, so everything ends up there. */
const empty = /^(services?|managers?|utils?|helpers?|commons?|types)$/i

/** The last word is the noun: common-passwords.ts holds passwords. */
const emptyFileName = (path: string): boolean =>
  empty.test(basename(path).split('.')[0]?.split('-').at(-1) ?? '')

const emptyClassName = /\bclass\s+\w*(Service|Manager|Utils?|Helpers?|Common|Types)\b/

/** Where sources lie on one machine: such a path is right nowhere else. */
const machinePath = new RegExp(
  `(?<![\\w.~}$-])/(${['work', 'root', 'home', 'Users'].join('|')})/\\w`,
)

/** A path of the sources between backquotes, or in brackets of a comment. */
const citedFile =
  /[`(]((?:src|docs|test|bench|tools|migrations|deploy)\/[\w./-]+\.(?:ts|js|md|sql|cjs))[`)]/g

/** Named as an example of what to add. */
const planted = new Set(['migrations/00NN_what.sql'])

describe('names', () => {
  test('say what is inside a file or class', async () => {
    const files = (await every()).filter((path) => path.startsWith('src/'))
    expect(files.length).toBeGreaterThan(100)
    expect(files.filter(emptyFileName)).toEqual([])
    const texts = await Promise.all(files.map((path) => readFile(join(project, path), 'utf8')))
    expect(files.filter((_, index) => emptyClassName.test(texts[index] ?? ''))).toEqual([])
  })

  test.each(['service.ts', 'src/keys/key-manager.ts', 'test-utils.ts', 'types.d.ts', 'Helpers.ts'])(
    'of nothing, such as %s, would be noticed',
    (path) => {
      expect(emptyFileName(path)).toBe(true)
    },
  )

  test('of files that pages and comments cite are those of files that exist', async () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...(await every())].filter(
      (path) => /[.](md|ts|sql|conf)$/.test(path),
    )
    const known = new Set(await every())
    const missing: string[] = []
    let cites = 0
    for (const page of pages) {
      const text = await readFile(join(project, page), 'utf8')
      for (const [, cited = ''] of text.matchAll(citedFile)) {
        cites += 1
        if (!known.has(cited) && !planted.has(cited)) missing.push(`${page}: ${cited}`)
      }
    }
    expect(missing).toEqual([])
    expect(cites).toBeGreaterThan(100)
  })

  test('of features stand in the order that dependencies follow, and every feature has a front door', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '-p',
      `JSON.stringify(require(${JSON.stringify(join(project, 'tools/dependency-cruiser.cjs'))}).forbidden)`,
    ])
    const rooms = ['cli', 'config', 'http', 'infra', 'lib']
    const entries = await readdir(join(project, 'src'), { withFileTypes: true })
    const features = entries
      .filter((entry) => entry.isDirectory() && !rooms.includes(entry.name))
      .map(({ name }) => name)
    expect(features.length).toBeGreaterThan(5)
    const files = new Set(await filesIn('src'))
    for (const feature of features) {
      // The last one needs no rule of its own: nothing comes after it.
      expect(stdout).toMatch(new RegExp(`[(|]${feature}[|)]`))
      expect(files).toContain(`src/${feature}/index.ts`)
    }
  })

  test('of folders on somebody’s machine are nowhere in the project', async () => {
    const files = await every()
    const texts = await Promise.all(files.map((path) => readFile(join(project, path), 'utf8')))
    const found = files.filter((_, index) => machinePath.test(texts[index] ?? ''))
    expect(found).toEqual([])
    expect(machinePath.test(['see ', 'home', 'me', 'x.ts'].join('/'))).toBe(true)
  })
})
