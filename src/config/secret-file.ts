import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import type { Parsed } from './setting.ts'

/** Eight secrets, or a URL, are far shorter. A log or a disk that is named by mistake is refused. */
const maxFileBytes = 64 * 1024

const writableByOthers = 0o002

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown'

const problems: Readonly<Record<string, string>> = {
  ENOENT: 'names a file that does not exist',
  ENOTDIR: 'names a file that does not exist',
  EACCES: 'names a file that this user may not read',
  EPERM: 'names a file that this user may not read',
}

const textIn = (descriptor: number): Parsed<string> => {
  const found = fstatSync(descriptor)
  if (!found.isFile()) return { problem: 'names something that is not a file' }
  if (found.size > maxFileBytes) {
    return { problem: `names a file of more than ${maxFileBytes / 1024} KiB` }
  }
  if (found.mode & writableByOthers) {
    return { problem: 'names a file that every user may write: run `chmod o-w` on it' }
  }
  const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(descriptor))
  // Editors and `echo` add one line end. A second one is kept and refused, because it was probably not meant as part of the secret.
  const value = text.replace(/\r?\n$/, '')
  return value === '' ? { problem: 'names a file that is empty' } : { value }
}

/**
 * Reads a secret from a file, as mounted by Docker, Kubernetes and systemd. A problem names neither the path nor the text, because the
 * operator may have put the secret itself where the path belongs.
 */
export const readSecretFile = (path: string): Parsed<string> => {
  let descriptor: number | undefined
  try {
    // Opening a named pipe would wait for its writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    return textIn(descriptor)
  } catch (error) {
    if (error instanceof TypeError) return { problem: 'names a file that is not UTF-8 text' }
    const code = codeOf(error)
    return { problem: problems[code] ?? `names a file that cannot be read (${code})` }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
