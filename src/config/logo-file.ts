import { readFileSync, statSync } from 'node:fs'
import { extname } from 'node:path'
import type { Parsed } from './setting.ts'

/** Each page contains the whole image, so that no extra route must be passed through a proxy. */
const maxLogoBytes = 64 * 1024

const mediaTypes: Readonly<Record<string, string>> = {
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
}

/** The image as a `data:` URL. In an `img` element, the scripts of an SVG do not run and it loads nothing. */
export const readLogoFile = (path: string): Parsed<string> => {
  try {
    const found = statSync(path)
    // Reading a named pipe would wait for its writer.
    if (!found.isFile()) return { problem: 'names something that is not a file' }
    if (found.size > maxLogoBytes) return { problem: `is larger than ${maxLogoBytes / 1024} KiB` }
    const mediaType = mediaTypes[extname(path).toLowerCase()]
    return { value: `data:${mediaType};base64,${readFileSync(path, 'base64')}` }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'no reason given'
    return { problem: `cannot be read (${code})` }
  }
}
