import { execFile } from 'node:child_process'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readDockerfile } from '../../tools/rehearse-image/dockerfile.ts'
import { codeBlock } from '../documentation/markdown.ts'
import type { Program } from '../support/debian-packages.ts'
import { findProgram } from '../support/find-program.ts'
import { type ScratchFolder, scratchFolder } from '../support/scratch-folder.ts'
import { knownVariables, loadDeployed } from './deployed-settings.ts'

const guide = 'docs/guides/run-with-systemd.md'
const units = ['cardea.service', 'cardea-migrate.service']

let folder: ScratchFolder
let systemdAnalyze: Program

const analyze = async (...args: string[]) =>
  await promisify(execFile)(systemdAnalyze.path, args, {
    cwd: folder.path,
    env: systemdAnalyze.env,
  }).catch((error: { stdout: string; stderr: string }) => error)

beforeAll(async () => {
  folder = await scratchFolder('systemd')
  await cp('deploy/systemd', folder.path, { recursive: true })
  // Where the units look for Node there may be none on this machine, and then they would be refused for that.
  for (const unit of units) {
    const file = join(folder.path, unit)
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replaceAll('/usr/bin/node', process.execPath))
  }
  systemdAnalyze = await findProgram({
    name: 'systemd',
    need: 'systemd-analyze of systemd 250 or later',
    commands: ['systemd-analyze'],
    unpacked: ['usr/bin/systemd-analyze'],
    packages: ['systemd'],
    withDependencies: true,
    probe: ['--version'],
  })
})
afterAll(() => folder?.remove())

const valuesOf = async (unit: string, key: string): Promise<string[]> => {
  const text = await readFile(join('deploy/systemd', unit), 'utf8')
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)
}

describe.each(units)('%s', (unit) => {
  test('is a unit that systemd takes without a complaint', async () => {
    const { stdout, stderr } = await analyze('verify', join(folder.path, unit))
    expect(stdout + stderr).toBe('')
  })

  test('R129: is closed off as far as Node allows', async () => {
    const args = ['security', '--offline=true', '--no-pager', join(folder.path, unit)]
    const [, exposure] =
      /exposure level for \S+: ([\d.]+)/.exec((await analyze(...args)).stdout) ?? []
    // systemd calls 9.6 unsafe, which is that of a unit without any of it, and up to 3 good.
    expect(Number(exposure)).toBeLessThan(3)
    expect(Number(exposure)).toBeGreaterThan(0)
  })

  test('has variables that exist', async () => {
    const pairs = (await valuesOf(unit, 'Environment')).flatMap((line) => line.split(' '))
    const names = pairs
      .map((pair) => pair.split('=')[0])
      .filter((name) => name !== 'MALLOC_ARENA_MAX')
    expect(names).toContain('NODE_ENV')
    for (const name of names) expect(knownVariables).toContain(name)
  })
})

test('the service starts like the image: after the migration, with the same command, and is given time to finish', async () => {
  const last = readDockerfile(await readFile('Dockerfile', 'utf8')).at(-1)
  const command = last?.steps.find(({ word }) => word === 'CMD')
  const [node, ...rest]: string[] = JSON.parse(command?.args[0] ?? '')
  const [start] = await valuesOf('cardea.service', 'ExecStart')
  expect(start).toBe(
    [`/usr/bin/${node}`, ...rest].join(' ').replace('dist/src', '/opt/cardea/dist/src'),
  )
  expect(await valuesOf('cardea.service', 'Requires')).toEqual(['cardea-migrate.service'])
  expect((await valuesOf('cardea.service', 'After')).join()).toContain('cardea-migrate.service')
  expect(Number(await valuesOf('cardea.service', 'TimeoutStopSec'))).toBeGreaterThan(15)
})

test('R129: the guide makes settings that start in production, with secrets in files; the owner of the tables is for the migration alone', async () => {
  const [, file = ''] = /<<'END'\n([\s\S]*?)^END$/m.exec(codeBlock(guide, 'umask 027')) ?? []
  const settings = Object.fromEntries(
    Object.entries(parseEnv(file)).map(([name, value]) => [name, value ?? '']),
  )
  for (const name of Object.keys(settings)) expect(knownVariables).toContain(name)
  const config = await loadDeployed(guide, settings)
  expect(config.databaseUrl).toContain('cardea_app:')
  expect(config.migrateDatabaseUrl).toBeUndefined()
  const [credential = ''] = await valuesOf('cardea-migrate.service', 'LoadCredential')
  const owner = { MIGRATE_DATABASE_URL_FILE: credential.replace(/^\w+:/, '') }
  expect((await loadDeployed(guide, { ...settings, ...owner })).migrateDatabaseUrl).toContain(
    'cardea_owner:',
  )
})

test('the guide builds as the image is built, and installs what the units run', async () => {
  const stages = readDockerfile(await readFile('Dockerfile', 'utf8'))
  const steps = stages.flatMap(({ steps: all }) => all)
  const runs = steps.filter(({ word }) => word === 'RUN').map(({ args }) => args[0])
  const built = codeBlock(guide, 'npm run build').trim().split('\n')
  expect(runs.filter((script) => script?.startsWith('npm '))).toEqual(built)
  const installed = codeBlock(guide, 'useradd')
  for (const file of ['dist', 'node_modules', ...units, 'deploy/systemd/cardea ']) {
    expect(installed).toContain(file)
  }
})
