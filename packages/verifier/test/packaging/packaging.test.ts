import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as express from '../../src/express.ts'
import * as fastify from '../../src/fastify.ts'
import * as fetch from '../../src/fetch.ts'
import * as replica from '../../src/replica.ts'
import * as wire from '../../src/wire.ts'
import { startIssuer } from '../support/issuer.ts'
import { newSealedKey, seal } from '../support/sealed.ts'
import { programs } from './consumer-programs.ts'
import { mustCompile, mustNotCompile } from './consumer-types.ts'
import { type PackedPackage, packAndInstall, packageFolder } from './packed-package.ts'

const run = promisify(execFile)

const sources = readdirSync(join(packageFolder, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.replace(/\.ts$/, ''))

const manifest = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'))

let packed: PackedPackage

beforeAll(async () => {
  packed = await packAndInstall()
})

afterAll(() => packed?.remove())

const installed = (...path: string[]) =>
  join(packed.consumer, 'node_modules/@cardea/verifier', ...path)

describe('the tarball', () => {
  test('holds both builds of every source file, what a reader needs, and nothing else', () => {
    const built = ['esm', 'cjs'].flatMap((build) =>
      sources.flatMap((path) => [`dist/${build}/${path}.js`, `dist/${build}/${path}.d.ts`]),
    )
    const others = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'dist/cjs/package.json']
    expect(packed.files.toSorted()).toEqual([...built, ...others].toSorted())
  })

  test('names no source map and no path of the machine that built it', async () => {
    for (const file of packed.files) {
      expect(await readFile(installed(file), 'utf8'), file).not.toMatch(
        /sourceMappingURL|\/home\/|\/tmp\/|file:\/\//,
      )
    }
  })

  test('has a licence that is the text of the repository, and asks for jose and nothing else', async () => {
    expect(await readFile(installed('LICENSE'), 'utf8')).toBe(readFileSync('LICENSE', 'utf8'))
    expect(Object.keys(manifest.dependencies)).toEqual(['jose'])
    expect(manifest.peerDependenciesMeta).toEqual({ fastify: { optional: true } })
  })

  test('would be published as it is: npm corrects nothing, and warns only that nobody is logged in', () => {
    const warnings = packed.publishing
      .split('\n')
      .filter((line) => /^npm (warn|error)\b/i.test(line) && !line.includes('logged in'))
    expect(warnings).toEqual([])
    expect(packed.publishing).toContain(`+ ${manifest.name}@${manifest.version}`)
  })

  test('is the only one that this repository publishes', () => {
    const manifests = ['.', ...readdirSync('packages').map((name) => join('packages', name))].map(
      (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')),
    )
    const published = manifests.filter((one) => one.private !== true).map(({ name }) => name)
    expect(published).toEqual([manifest.name])
  })

  test('finds nothing that publint would change', async () => {
    const { messages, pkg } = await publint({ pkgDir: installed(), strict: true, pack: false })
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([])
  })
})

/** The Node that runs the tests and those on the path, such as the machine's own: one path for each version. */
const findNodes = async (): Promise<string[][]> => {
  const { stdout } = await run('sh', ['-c', 'which -a node'])
  const paths = [process.execPath, ...stdout.trim().split('\n')]
  const found = new Map<string, string>()
  for (const path of paths) {
    const version = (await run(path, ['--version'])).stdout.trim()
    if (!found.has(version)) found.set(version, path)
  }
  return [...found]
}

/** `^20.19.0 || >=22.12.0`, spelled out: 21 had `require` of ES modules in no version. */
const isSupported = (version: string): boolean => {
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number)
  return (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 23
}

const nodes = (await findNodes()).filter(([version = '']) => isSupported(version))

describe.each(nodes)('installed, under Node %s', (_version, node = '') => {
  test.each(Object.entries(programs))(
    '%s imports every door and verifies a token',
    async (name, program) => {
      const issuer = await startIssuer()
      await writeFile(join(packed.consumer, name), program)
      const sub = 'AAAAAAAAAAAAAAAAAAAAAA'
      const { url, audience, client, token } = issuer
      const key = await newSealedKey()
      const values = [url, audience, client.id, client.secret, await token({ sub }), key.text]
      values.push(await seal(await token({ sub }), key))
      const { stdout } = await run(node, [name, ...values], {
        cwd: packed.consumer,
      })
      expect(JSON.parse(stdout)).toEqual({
        sub,
        sealedSub: sub,
        isVerifierError: true,
        names: [express, fastify, fetch, replica, wire].map((door) => Object.keys(door).toSorted()),
      })
    },
  )
})

test('of the Node versions that are promised, the one that runs the tests was tried, and those on the path', () => {
  expect(manifest.engines.node).toBe('^20.19.0 || >=22.12.0')
  expect(['v20.19.0', 'v22.12.0', 'v23.0.0', 'v24.0.0'].filter(isSupported)).toHaveLength(4)
  expect(['v18.20.8', 'v20.18.3', 'v21.7.3', 'v22.11.0'].filter(isSupported)).toEqual([])
  expect(nodes.map(([, path]) => path)).toContain(process.execPath)
})

describe('the declarations', () => {
  /** `line code` of each error, by file; nothing else is printed by a compiler that finds what it needs. */
  const errors = new Map<string, string[]>()
  const readmeBlocks = [
    ...readFileSync(join(packageFolder, 'README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs),
  ].map(([, code]) => code ?? '')

  const compile = async (files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(packed.consumer, name), text)
    }
    const compilerOptions = {
      strict: true,
      module: 'node16',
      target: 'es2022',
      lib: ['es2023'],
      types: ['node'],
      noEmit: true,
      // Also what is declared in the package is checked, not only what uses it.
      skipLibCheck: false,
    }
    const config = { compilerOptions, files: Object.keys(files) }
    await writeFile(join(packed.consumer, 'tsconfig.json'), JSON.stringify(config))
    const compiler = resolve('node_modules/typescript/bin/tsc')
    const compiled = run(process.execPath, [compiler, '-p', packed.consumer], {
      cwd: packed.consumer,
    })
    return await compiled.then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    )
  }

  beforeAll(async () => {
    const blocks = readmeBlocks.map((code, place) => [`readme-${place}.ts`, code])
    const output = await compile({
      'good.ts': mustCompile,
      'good.cts': mustCompile,
      'wrong.ts': mustNotCompile,
      ...Object.fromEntries(blocks),
    })
    for (const line of output.split('\n').filter((text) => text !== '' && !text.startsWith(' '))) {
      const [, file = 'compiler', at = line, code = ''] =
        /^(.+)\((\d+),\d+\): error (TS\d+):/.exec(line) ?? []
      errors.set(file, [...(errors.get(file) ?? []), `${at} ${code}`])
    }
  })

  test('refuse exactly the lines that must not compile, each for its own reason', () => {
    const expected = mustNotCompile.split('\n').flatMap((line, place) => {
      const code = /\/\/ (TS\d+)$/.exec(line)?.[1]
      return code === undefined ? [] : [`${place + 1} ${code}`]
    })
    expect(expected.length).toBeGreaterThan(20)
    expect(errors.get('wrong.ts')).toEqual(expected)
  })

  test('compile for consumers of both kinds, strictly, with every block of the README', () => {
    expect(readmeBlocks.length).toBeGreaterThan(4)
    expect([...errors].filter(([file]) => file !== 'wrong.ts')).toEqual([])
  })
})
