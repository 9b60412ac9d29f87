import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import { codeBlock } from '../../test/documentation/markdown.ts'

/** What the first step of docs/guides/run-in-a-container.md makes. */
export type MadeSecrets = {
  readonly folder: string
  /** Those of .env. */
  readonly variables: Readonly<Record<string, string>>
  readonly read: (name: string) => Promise<string>
  readonly readAll: () => Promise<Record<string, string>>
  /** For addresses that are another here than in the network of the containers. */
  readonly replaceInUrls: (address: string, here: string) => Promise<void>
}

/** Runs the block of the guide as printed. */
export const makeSecrets = async (project: string, scratch: string): Promise<MadeSecrets> => {
  const clone = join(scratch, 'clone')
  await mkdir(clone)
  const script = codeBlock(join(project, 'docs/guides/run-in-a-container.md'), 'openssl rand')
  await promisify(execFile)('bash', ['-e', '-c', script], { cwd: clone })
  const folder = join(clone, 'secrets')
  const names = await readdir(folder)
  const read = async (name: string) => (await readFile(join(folder, name), 'utf8')).trimEnd()
  const variables = parseEnv(await readFile(join(clone, '.env'), 'utf8'))
  return {
    folder,
    variables: Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [name, value ?? '']),
    ),
    read,
    readAll: async () =>
      Object.fromEntries(await Promise.all(names.map(async (name) => [name, await read(name)]))),
    replaceInUrls: async (address, here) => {
      for (const name of names.filter((one) => one.endsWith('_url'))) {
        await writeFile(join(folder, name), (await read(name)).replace(address, here))
      }
    },
  }
}
