import { randomBytes } from 'node:crypto'
import { link, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assertPrivateFolder, readPrivateFile } from './private-files.ts'

/** The secrets that a start keeps in `DATA_DIR` when the settings contain none. */
export type LocalSecretName = 'secret' | 'pepper'

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

/**
 * Reads an existing secret; undefined when there is none.
 * @throws UnsafeFile when another user may have written it, or can read it
 */
export const readLocalSecret = async (
  dataDir: string,
  name: LocalSecretName,
): Promise<string | undefined> => {
  try {
    return (await readPrivateFile(join(dataDir, name))).trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Written to another name and linked into place, so that the file is never incomplete and two processes get the same secret. */
const makeSecret = async (dataDir: string, name: LocalSecretName): Promise<void> => {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  await assertPrivateFolder(dataDir)
  const path = join(dataDir, name)
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  await writeFile(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 })
  try {
    await link(draft, path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  } finally {
    await rm(draft)
  }
}

/**
 * Reads the secret, and creates it on the first call.
 * @throws UnsafeFile
 */
export const ensureLocalSecret = async (
  dataDir: string,
  name: LocalSecretName,
): Promise<string> => {
  const kept = await readLocalSecret(dataDir, name)
  if (kept !== undefined) return kept
  await makeSecret(dataDir, name)
  return ensureLocalSecret(dataDir, name)
}
