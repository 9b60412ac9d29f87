import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemRandom } from './lib/random.ts'

/** What a start keeps in `DATA_DIR` when the settings name none. */
export type KeptSecretName = 'secret' | 'pepper'

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

/** One that was made before; undefined when none was. */
export const readKeptSecret = async (
  dataDir: string,
  name: KeptSecretName,
): Promise<string | undefined> => {
  try {
    return (await readFile(join(dataDir, name), 'utf8')).trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Written aside and linked into place, so that there is never half of one and two processes end up with the same. */
const makeSecret = async (dataDir: string, name: KeptSecretName): Promise<void> => {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const path = join(dataDir, name)
  const draft = `${path}.${systemRandom(8).toString('hex')}`
  await writeFile(draft, `${systemRandom(32).toString('base64url')}\n`, { mode: 0o600 })
  try {
    await link(draft, path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  } finally {
    await rm(draft)
  }
}

/** A secret that is made here once and stays the same. */
export const keptSecret = async (dataDir: string, name: KeptSecretName): Promise<string> => {
  const kept = await readKeptSecret(dataDir, name)
  if (kept !== undefined) return kept
  await makeSecret(dataDir, name)
  return keptSecret(dataDir, name)
}
