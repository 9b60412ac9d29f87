import type { Sql } from './database.ts'

const unchecked = {
  name: 'unchecked_constraints',
  text: `SELECT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', conrelid::regclass, conname) AS validate
    FROM pg_constraint WHERE NOT convalidated AND connamespace = current_schema()::regnamespace`,
}

/** SQLSTATE check_violation. */
const isViolated = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '23514'

/**
 * Checks the rows that were there before a migration added a constraint as NOT VALID. Each in a transaction of its own, after that of the
 * migrations, so that everyone reads and writes meanwhile. A constraint that an old row does not meet goes on holding for new rows only:
 * that is no reason not to start.
 */
export const validateConstraints = async (owner: Sql): Promise<void> => {
  for (const { validate } of await owner.query<{ validate: string }>(unchecked)) {
    await owner.query({ name: 'validate_constraint', text: validate }).catch((error: unknown) => {
      if (!isViolated(error)) throw error
    })
  }
}
