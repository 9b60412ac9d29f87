import { execFile } from 'node:child_process'
import { appendFile, cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ScratchFolder, scratchFolder } from '../support/scratch-folder.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))

const report = Type.Object({
  modules: Type.Array(Type.Object({ source: Type.String() })),
  summary: Type.Object({
    violations: Type.Array(
      Type.Object({
        from: Type.String(),
        to: Type.String(),
        rule: Type.Object({ name: Type.String() }),
      }),
    ),
  }),
})

/** The same program with the same rules as `npm run check:boundaries`. It exits with the number of breaches, so that is no failure here. */
const cruise = async (root: string, ...folders: readonly string[]) => {
  const program = join(project, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs')
  const rules = join(project, 'tools/dependency-cruiser.cjs')
  const args = [program, '--config', rules, '--output-type', 'json', ...folders]
  const output = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, args, { cwd: root, maxBuffer: 2 ** 27 }, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(`the tool printed nothing: ${stderr}`, { cause: error }))
      else resolve(stdout)
    })
  })
  const { modules, summary } = Value.Parse(report, JSON.parse(output))
  const seen = modules.map(({ source }) => source).filter((source) => source.startsWith('src/'))
  const breaches = summary.violations.map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to}`)
  return { seen: new Set(seen), breaches }
}

const sourceFiles = async (): Promise<string[]> =>
  (await readdir(join(project, 'src'), { recursive: true }))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `src/${name}`)

type Breach = {
  readonly file: string
  readonly imports?: string
  /** Instead of the plain import. */
  readonly statement?: string
  readonly rule: string
  readonly target: string
}

/** Where it stands, what it imports, and the rule that must object. Each file breaks one rule only. */
const planted: readonly Breach[] = [
  {
    file: 'src/sessions/planted-later-feature.ts',
    imports: '../login/index.ts',
    rule: 'sessions-uses-only-features-before-it',
    target: 'src/login/index.ts',
  },
  {
    file: 'src/sessions/planted-side-door.ts',
    imports: '../tokens/mint-access-token.ts',
    rule: 'features-meet-at-index',
    target: 'src/tokens/mint-access-token.ts',
  },
  {
    file: 'src/cli/planted-side-door.ts',
    imports: '../tokens/mint-access-token.ts',
    rule: 'features-meet-at-index',
    target: 'src/tokens/mint-access-token.ts',
  },
  {
    file: 'src/planted-side-door.ts',
    imports: './tokens/mint-access-token.ts',
    rule: 'roots-enter-features-by-index',
    target: 'src/tokens/mint-access-token.ts',
  },
  {
    file: 'src/sessions/planted-impure-use-case.ts',
    imports: '../config/index.ts',
    rule: 'rules-and-use-cases-stay-pure',
    target: 'src/config/index.ts',
  },
  {
    file: 'src/sessions/planted-http-in-a-use-case.ts',
    imports: '../http/browser-requests.ts',
    rule: 'rules-and-use-cases-stay-pure',
    target: 'src/http/browser-requests.ts',
  },
  {
    file: 'src/sessions/planted-adapter.ts',
    imports: './session-store.ts',
    rule: 'use-cases-name-the-port',
    target: 'src/sessions/session-store.ts',
  },
  {
    file: 'src/sessions/planted-root.ts',
    imports: '../app.ts',
    rule: 'features-know-no-root',
    target: 'src/app.ts',
  },
  {
    file: 'src/http/planted-setting.ts',
    imports: '../config/index.ts',
    rule: 'ground-floor-rooms-stand-apart',
    target: 'src/config/index.ts',
  },
  {
    file: 'src/infra/planted-feature.ts',
    imports: '../tokens/index.ts',
    rule: 'ground-floor-knows-no-feature',
    target: 'src/tokens/index.ts',
  },
  {
    file: 'src/lib/planted-ground-floor.ts',
    imports: '../config/index.ts',
    rule: 'lib-is-a-leaf',
    target: 'src/config/index.ts',
  },
  { file: 'src/planted-pg.ts', imports: 'pg', rule: 'pg-in-stores', target: 'pg' },
  {
    file: 'src/planted-ioredis.ts',
    imports: 'ioredis',
    rule: 'ioredis-in-stores',
    target: 'ioredis',
  },
  {
    file: 'src/admin/planted-fastify.ts',
    imports: 'fastify',
    rule: 'fastify-at-the-edge',
    target: 'fastify',
  },
  {
    file: 'src/admin/planted-jose.ts',
    imports: 'jose',
    rule: 'jose-in-keys-and-tokens',
    target: 'jose',
  },
  {
    file: 'src/accounts/planted-argon2.ts',
    imports: 'argon2',
    rule: 'argon2-behind-its-port',
    target: 'argon2',
  },
  {
    file: 'src/planted-test-code.ts',
    imports: '../test/planted.ts',
    rule: 'only-the-product-in-the-product',
    target: 'test/planted.ts',
  },
  {
    file: 'src/planted-development-tool.ts',
    imports: 'vitest',
    rule: 'only-production-dependencies-in-the-product',
    target: 'vitest',
  },
  {
    file: 'src/planted-entry-point.ts',
    imports: './main.ts',
    rule: 'nobody-imports-an-entry-point',
    target: 'src/main.ts',
  },
  {
    file: 'src/planted-embedded-stores.ts',
    statement: "await import('../packages/embedded-stores/src/index.ts')",
    rule: 'embedded-stores-are-opened-with-the-stores',
    target: 'packages/embedded-stores/src/index.ts',
  },
  {
    file: 'src/store-credentials.ts',
    imports: '../packages/embedded-stores/src/index.ts',
    rule: 'embedded-stores-are-loaded-on-demand',
    target: 'packages/embedded-stores/src/index.ts',
  },
  {
    file: 'src/planted-side-door-of-a-package.ts',
    imports: '../packages/embedded-stores/src/start.ts',
    rule: 'embedded-stores-are-entered-by-index',
    target: 'packages/embedded-stores/src/start.ts',
  },
  {
    file: 'packages/embedded-stores/src/planted-service.ts',
    imports: '../../../src/lib/machine.ts',
    rule: 'embedded-stores-stand-alone',
    target: 'src/lib/machine.ts',
  },
  {
    file: 'src/planted-nowhere.ts',
    imports: './not-there.ts',
    rule: 'everything-resolves',
    target: './not-there.ts',
  },
]

/** A copy of the tree with one file for each breach, or a line at the end of a file that is there. Dependencies are the real ones. */
const plant = async (root: string): Promise<void> => {
  // The service uses the sources of the packages.
  const packages = (await readdir(join(project, 'packages'))).map((name) => `packages/${name}`)
  for (const name of ['src', ...packages.map((folder) => `${folder}/src`)])
    await cp(join(project, name), join(root, name), { recursive: true })
  for (const name of [
    'package.json',
    'tsconfig.json',
    ...packages.map((folder) => `${folder}/package.json`),
  ])
    await cp(join(project, name), join(root, name))
  await symlink(join(project, 'node_modules'), join(root, 'node_modules'))
  await mkdir(join(root, 'test'))
  await writeFile(join(root, 'test/planted.ts'), 'export {}\n')
  for (const { file, imports, statement = `import '${imports}'` } of planted) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await appendFile(join(root, file), `${statement}\n`)
  }
}

describe('the boundaries between the parts', () => {
  test('hold, and the tool that says so has looked at every file of the service', async () => {
    const { seen, breaches } = await cruise(project, 'src')
    expect(breaches).toEqual([])
    const files = await sourceFiles()
    expect(files.length).toBeGreaterThan(100)
    expect(files.filter((file) => !seen.has(file))).toEqual([])
    expect(seen.size).toBeGreaterThanOrEqual(files.length)
  })

  describe('when they are broken on purpose', () => {
    let scratch: ScratchFolder
    let breaches: string[]
    beforeAll(async () => {
      scratch = await scratchFolder('boundaries')
      await plant(scratch.path)
      breaches = (await cruise(scratch.path, 'src', 'packages')).breaches
    })
    afterAll(async () => await scratch.remove())

    test.each(planted)('$rule notices $file', ({ file, rule, target }) => {
      const found = breaches.filter((breach) => breach.includes(file))
      expect(found).toEqual([expect.stringContaining(`${rule}: ${file} -> `)])
      expect(found[0]).toContain(target)
    })

    test('nothing else is noticed', () => {
      const files = planted.map(({ file }) => file)
      expect(breaches.filter((breach) => !files.some((file) => breach.includes(file)))).toEqual([])
    })
  })
})
