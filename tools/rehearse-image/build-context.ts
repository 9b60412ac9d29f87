import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

type Pattern = { readonly path: string; readonly isKept: boolean }

const readPatterns = (text: string): Pattern[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const isKept = line.startsWith('!')
      const path = (isKept ? line.slice(1) : line).replace(/\/$/, '')
      // Only what is easy to follow faithfully: everything, or one path and all below it.
      if (path !== '*' && /[*?[\]\\]/.test(path)) {
        throw new Error(`the rehearsal does not know the pattern ${line} of .dockerignore`)
      }
      return { path, isKept }
    })

/** The last pattern that names a path, or a folder above it, decides. */
const decide = (patterns: readonly Pattern[]) => (file: string) =>
  patterns.findLast(({ path }) => path === '*' || file === path || file.startsWith(`${path}/`))
    ?.isKept ?? true

/** What a build would be sent, as paths below `project`. What is never looked into is never sent: `node_modules` for one. */
export const buildContext = async (project: string): Promise<string[]> => {
  const patterns = readPatterns(await readFile(join(project, '.dockerignore'), 'utf8'))
  const isSent = decide(patterns)
  // A folder whose contents are all refused may still hold a file that is named: tools/runtime.
  const mayHold = (folder: string) =>
    isSent(folder) || patterns.some(({ path, isKept }) => isKept && path.startsWith(`${folder}/`))
  const sent: string[] = []
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(project, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) {
        if (mayHold(path)) await walk(path)
      } else if (isSent(path)) sent.push(path)
    }
  }
  await walk('')
  return sent.sort()
}
