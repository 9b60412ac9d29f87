import { isId } from '../lib/id.ts'
import { usageError } from './command-error.ts'

/** An id begins with `-` once in 64 times; commander takes whatever follows `--sid` as its value, and that is checked here. */
export const demandId = (option: string, id: string | undefined): void => {
  if (id !== undefined && !isId(id)) {
    throw usageError(`${option} is not an id`, 'an id is 22 characters of A-Z a-z 0-9 _ and -')
  }
}
