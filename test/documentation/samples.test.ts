import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { codeBlocks, readPage } from './markdown.ts'

/** Readers copy code before they read the text around it. So every block of these pages is run, or it says here why it cannot be. */
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'docs/guides/*.md',
  '{packages,examples}/*/README.md',
]
  .flatMap((pattern) => globSync(pattern))
  .toSorted()

const services = 'test/documentation/service-samples.test.ts'
const browsers = 'test/documentation/browser-samples.test.ts'
const shell = 'test/e2e/shell-samples.test.ts'
const readme = 'test/e2e/readme.test.ts'
const examples = 'test/e2e/examples.test.ts'
const languages = 'test/interop/foreign-verifiers.test.ts'
const guides = 'test/documentation/guides.test.ts'
const kubernetes = 'test/architecture/kubernetes.test.ts'
const systemd = 'test/architecture/systemd.test.ts'
const restarts = 'test/proxies/rolling-restart.test.ts'

/** What else a block may be. */
const needsCluster = 'not run: it needs a Kubernetes cluster'
const needsEngine = 'not run: it needs a container engine'
const needsSystemd = 'not run: it changes a machine that systemd runs'
const picture = 'not code'
const scripts = 'names scripts of package.json'

/** By page, in order: what runs each block. */
const ranBy: Readonly<Record<string, readonly string[]>> = {
  'CONTRIBUTING.md': [scripts, picture],
  'README.md': [readme, readme, readme, readme, readme, readme, readme, readme, scripts],
  'docs/guides/api-with-tokens.md': [services],
  'docs/guides/ask-redis.md': [
    guides,
    'test/interop/ask-redis.test.ts',
    guides,
    'test/interop/ask-redis-cluster.test.ts',
    'test/interop/ask-redis-cluster.test.ts',
    guides,
  ],
  'docs/guides/browser-apps.md': [
    browsers,
    'test/e2e/browser-pages.test.ts',
    'test/documentation/shared-token.test.ts',
    shell,
  ],
  'docs/guides/first-steps.md': [shell, shell, shell],
  'docs/guides/forward-auth.md': [picture],
  'docs/guides/native-apps.md': [shell],
  'docs/guides/operate.md': ['test/infra/own-schema.test.ts', shell, shell, shell],
  'docs/guides/reverse-proxies.md': [
    'test/proxies/issuer-path.test.ts',
    'test/proxies/issuer-path.test.ts',
    restarts,
    restarts,
  ],
  'docs/guides/run-in-a-container.md': [shell, needsEngine, picture],
  'docs/guides/run-on-kubernetes.md': [
    needsEngine,
    needsCluster,
    kubernetes,
    needsCluster,
    kubernetes,
  ],
  'docs/guides/run-with-systemd.md': [systemd, needsSystemd, systemd, needsSystemd],
  'docs/guides/sealed-sessions.md': [shell, browsers, browsers],
  'docs/guides/service-to-service.md': [shell, shell, shell, browsers, shell],
  'docs/guides/verify-in-any-language.md': [
    languages,
    languages,
    languages,
    languages,
    languages,
    shell,
    'test/interop/feed-guide.test.ts',
    'test/interop/guide-replica.test.ts',
    'test/interop/follow-feed.test.ts',
    'test/interop/feed-guide.test.ts',
  ],
  'docs/guides/verify-tokens.md': [services, services, services, services, services],
  'docs/guides/web-app-with-a-cookie-session.md': [
    'examples/web-app/cardea.js',
    'examples/web-app/server.js',
  ],
  'examples/api/README.md': [examples, examples],
  'examples/service/README.md': [examples],
  'examples/web-app/README.md': [examples],
  'packages/verifier/README.md': [
    shell,
    shell,
    services,
    services,
    services,
    services,
    services,
    services,
    shell,
    browsers,
    'packages/verifier/test/packaging/readme.test.ts',
    services,
  ],
}

const { scripts: npmScripts } = JSON.parse(readFileSync('package.json', 'utf8'))

/** Without the spaces in front of its lines: an excerpt of a function stands further left on a page. */
const withoutIndent = (text: string): string => text.replaceAll(/^ +/gm, '')

const runsIt = (how: string, code: string): boolean => {
  if ([needsCluster, needsEngine, needsSystemd, picture].includes(how)) return true
  if (how === scripts) {
    const named = [...code.matchAll(/^npm (?:run )?([\w:]+)/gm)].map(([, name = '']) => name)
    return named.length > 0 && named.every((name) => name in npmScripts)
  }
  if (!existsSync(how)) return false
  const text = readFileSync(how, 'utf8')
  return how.endsWith('.test.ts') || withoutIndent(text).includes(withoutIndent(code.trim()))
}

describe.each(pages)('%s', (page) => {
  const blocks = codeBlocks(page)

  test('has a test that runs each of its blocks, or a reason why none can', () => {
    const listed = ranBy[page] ?? []
    expect(blocks.map(({ info, line }) => `line ${line}: ${info}`)).toHaveLength(listed.length)
    for (const [place, { code, line }] of blocks.entries()) {
      expect(runsIt(listed[place] ?? '', code), `line ${line}`).toBe(true)
    }
  })

  test('has no code that is only indented: this test would not see it', () => {
    const outside = readPage(page).replaceAll(/^```[\s\S]*?^```$/gm, '')
    expect(outside.match(/^ {4,}\S.*$/gm) ?? []).toEqual([])
  })
})

test('no page is listed that does not exist', () => {
  expect(Object.keys(ranBy).filter((page) => !pages.includes(page))).toEqual([])
})
