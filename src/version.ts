import { readFileSync } from 'node:fs'

/** As in package.json, which lies one folder above this file, compiled or not. */
const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)

export const { version } = manifest
