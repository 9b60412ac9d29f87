import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { scratchFolder } from '../support/programs/scratch-folder.ts'

/** The last migration of the version that runs while the later ones are applied. To be raised when a version is released. */
export const lastMigrationInUse = 12

const root = fileURLToPath(new URL('../../', import.meta.url))

const run = promisify(execFile)

const git = async (...args: readonly string[]): Promise<string> =>
  (await run('git', ['-C', root, ...args])).stdout

const newestMigration = async (commit: string): Promise<number> => {
  const names = await git('ls-tree', '--name-only', commit, 'migrations/')
  const numbers = names.matchAll(/^migrations\/(\d{4})_/gm)
  return Math.max(0, ...[...numbers].map(([, number]) => Number(number)))
}

/** The last commit of this branch that has no later migration. */
const findCommit = async (): Promise<string> => {
  const commits = await git('rev-list', '--first-parent', 'HEAD').catch((error: unknown) => {
    throw new Error('this test runs an older version and needs the repository with git', {
      cause: error,
    })
  })
  for (const commit of commits.split('\n')) {
    if (commit !== '' && (await newestMigration(commit)) <= lastMigrationInUse) return commit
  }
  throw new Error(
    `no commit with migration ${lastMigrationInUse} as its newest: a shallow clone needs \`git fetch --unshallow\``,
  )
}

export type OlderVersion = {
  /** What `node` runs as the service. */
  readonly entry: string
  readonly remove: () => Promise<void>
}

/** The code of the version before the migrations under way, with the packages of its own lock file. */
export const olderVersion = async (): Promise<OlderVersion> => {
  const commit = await findCommit()
  const folder = await scratchFolder('older')
  const archive = join(folder.path, 'tree.tar')
  await git('archive', '--output', archive, commit)
  await run('tar', ['-x', '-f', archive, '-C', folder.path])
  const quietly = ['--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
  await run('npm', ['ci', ...quietly], { cwd: folder.path })
  return { entry: join(folder.path, 'src/main.ts'), remove: folder.remove }
}
