import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import {
  type ScratchFolder,
  scratchFolder,
} from '../../../../test/support/programs/scratch-folder.ts'

const run = promisify(execFile)

export const packageFolder = 'packages/verifier'

export type PackedPackage = {
  /** Where it is installed, beside `jose` and nothing else that was installed. */
  readonly consumer: string
  /** What the tarball holds, by path. */
  readonly files: readonly string[]
  /** What `npm publish --dry-run` printed about it, without a network. */
  readonly publishing: string
  readonly remove: () => Promise<void>
}

/** Builds and packs in a copy, with the package's own scripts, so that neither the working copy nor another test sees it. */
const pack = async (
  scratch: string,
): Promise<{ tarball: string; files: string[]; publishing: string }> => {
  const copy = join(scratch, packageFolder)
  await mkdir(copy, { recursive: true })
  await cp('tsconfig.json', join(scratch, 'tsconfig.json'))
  await symlink(resolve('node_modules'), join(scratch, 'node_modules'))
  for (const name of await readdir(packageFolder)) {
    if (['dist', 'node_modules', 'test'].includes(name)) continue
    await cp(join(packageFolder, name), join(copy, name), { recursive: true })
  }
  await run('npm', ['pack', '--pack-destination', scratch], { cwd: copy })
  // What the script before it builds has just been built.
  const publish = ['publish', '--dry-run', '--offline', '--ignore-scripts']
  const { stdout: told, stderr: warned } = await run('npm', publish, { cwd: copy })
  const [tarball] = (await readdir(scratch)).filter((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack made nothing')
  const { stdout } = await run('tar', ['-tzf', join(scratch, tarball)])
  const files = stdout.trim().split('\n')
  return {
    tarball: join(scratch, tarball),
    files: files.map((path) => path.replace('package/', '')),
    publishing: warned + told,
  }
}

/** As a stranger would, but from files: nothing is fetched. */
const install = async (consumer: string, tarball: string): Promise<void> => {
  await mkdir(consumer)
  const own = { name: 'consumer', version: '1.0.0', private: true, type: 'module' }
  await writeFile(join(consumer, 'package.json'), JSON.stringify(own))
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', consumer], {
    cwd: 'node_modules/jose',
  })
  const [jose] = (await readdir(consumer)).filter((name) => name.endsWith('.tgz'))
  const flags = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund']
  await run('npm', ['install', ...flags, `./${jose}`, tarball], { cwd: consumer })
}

/** The frameworks, with their types, that a consumer brings itself. */
const bringFrameworks = async (consumer: string): Promise<void> => {
  for (const name of ['fastify', 'express', '@types']) {
    await symlink(resolve('node_modules', name), join(consumer, 'node_modules', name))
  }
}

export const packAndInstall = async (): Promise<PackedPackage> => {
  const scratch: ScratchFolder = await scratchFolder('package')
  try {
    const { tarball, files, publishing } = await pack(scratch.path)
    const consumer = join(scratch.path, 'consumer')
    await install(consumer, tarball)
    await bringFrameworks(consumer)
    return { consumer, files, publishing, remove: scratch.remove }
  } catch (error) {
    await scratch.remove()
    throw error
  }
}
