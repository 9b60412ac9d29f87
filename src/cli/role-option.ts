import { InvalidArgumentError } from 'commander'
import { Value } from 'typebox/value'
import { roleSchema } from '../accounts/index.ts'

/** Each `--role` adds one; the same form as the admin API takes. */
export const collectRole = (role: string, before: readonly string[] = []): readonly string[] => {
  if (!Value.Check(roleSchema, role)) {
    throw new InvalidArgumentError(
      'A role starts with a letter a-z, then letters, digits and _ . : -',
    )
  }
  return before.includes(role) ? before : [...before, role]
}
