import { execFile } from 'node:child_process'
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Edit } from './mutants.ts'
import { plant } from './plant.ts'

const run = promisify(execFile)

/** Without the shared servers of the test suite: the tests of mutants start what they need. */
const vitestConfig = `import { defineConfig } from 'vitest/config'
export default defineConfig({ test: { pool: 'forks', testTimeout: 600_000, hookTimeout: 600_000 } })
`

export type TreeCopy = {
  readonly path: string
  /** Plants a bug, runs `work`, and removes the bug. Rejects when a text does not occur exactly once. */
  readonly withEdits: <T>(edits: readonly Edit[], work: () => Promise<T>) => Promise<T>
  readonly remove: () => Promise<void>
}

/** Every file that git tracks or would add, in its current state. */
const sourcesOf = async (project: string): Promise<string[]> => {
  const listing = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate']
  const { stdout } = await run('git', listing, { cwd: project, maxBuffer: 2 ** 26 })
  const { stdout: deleted } = await run('git', ['ls-files', '-z', '--deleted'], { cwd: project })
  const gone = new Set(deleted.split('\0'))
  return stdout.split('\0').filter((file) => file !== '' && !gone.has(file))
}

/** A folder of links, so that files that tools write beside the packages stay in the copy. */
const linkPackages = async (project: string, path: string): Promise<void> => {
  const [from, to] = [join(project, 'node_modules'), join(path, 'node_modules')]
  await mkdir(to)
  for (const name of await readdir(from)) {
    if (!name.startsWith('.') || name === '.bin') await symlink(join(from, name), join(to, name))
  }
}

const plantAll = async (path: string, edits: readonly Edit[], before: Map<string, string>) => {
  for (const edit of edits) {
    const file = join(path, edit.file)
    const text = await readFile(file, 'utf8')
    if (!before.has(file)) before.set(file, text)
    await writeFile(file, plant(text, edit))
  }
}

/** A copy of the working tree, with uncommitted changes, in a separate folder. */
export const copyTree = async (project: string): Promise<TreeCopy> => {
  const path = await mkdtemp(join(tmpdir(), 'cardea-mutants-'))
  for (const file of await sourcesOf(project)) {
    const to = join(path, file)
    await mkdir(dirname(to), { recursive: true })
    await copyFile(join(project, file), to)
  }
  await writeFile(join(path, 'vitest.config.ts'), vitestConfig)
  await linkPackages(project, path)
  return {
    path,
    withEdits: async (edits, work) => {
      const before = new Map<string, string>()
      try {
        await plantAll(path, edits, before)
        return await work()
      } finally {
        for (const [file, text] of before) await writeFile(file, text)
      }
    },
    remove: () => rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }),
  }
}
