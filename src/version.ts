import { readFileSync } from 'node:fs'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

const manifest = Type.Object({ version: Type.String() })

/** As in package.json, which lies one folder above this file, compiled or not. */
export const { version } = Value.Parse(
  manifest,
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')),
)
