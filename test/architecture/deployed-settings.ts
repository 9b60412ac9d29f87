import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { allSettings } from '../../src/config/given-settings.ts'
import { type Config, loadConfig } from '../../src/config/index.ts'
import { fileVariableOf } from '../../src/config/setting-reader.ts'
import { codeBlock } from '../documentation/markdown.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'

/** Every variable that the service reads: the settings, and for those that are secrets the name of a file. */
export const knownVariables: readonly string[] = allSettings.flatMap(({ name, isSecret }) =>
  isSecret ? [name, fileVariableOf(name)] : [name],
)

/** Runs the block of a guide that makes the secrets, in an empty folder; folders of the machine lie in it too. */
const makeSecrets = async (guide: string): Promise<ScratchFolder> => {
  const folder = await scratchFolder('secrets')
  const script = codeBlock(guide, 'openssl rand')
    .replaceAll('/etc/cardea', join(folder.path, 'etc'))
    .replace('chgrp -R cardea . && ', '')
  await promisify(execFile)('bash', ['-e', '-c', script], { cwd: folder.path })
  return folder
}

/** The names of the secrets that the guide makes. */
export const deployedFiles = async (guide: string): Promise<string[]> => {
  const folder = await makeSecrets(guide)
  try {
    return await readdir(join(folder.path, 'secrets'))
  } finally {
    await folder.remove()
  }
}

/** Reads the settings of a deployment as the service would in production, with the secrets that its guide makes. */
export const loadDeployed = async (
  guide: string,
  settings: Readonly<Record<string, string>>,
): Promise<Config> => {
  const folder = await makeSecrets(guide)
  try {
    const here = Object.entries(settings).map(([name, value]) => [
      name,
      value
        .replace(/^\/run\/secrets\/(cardea\/|owner\/)?/, `${join(folder.path, 'secrets')}/`)
        .replace(/^\/etc\/cardea/, join(folder.path, 'etc')),
    ])
    return loadConfig({ NODE_ENV: 'production', ...Object.fromEntries(here) })
  } finally {
    await folder.remove()
  }
}
