import { type BenchDatabase, issuer } from './database.ts'
import { type Connection, expectOk, openConnection, requestText } from './http-connection.ts'
import { addAccounts, emailOf, hashOfPassword, makeOperator, password } from './people.ts'
import { tokenOf } from './tokens.ts'

/** Accounts 0 to `count - 1`, of which the first is an operator who can log in. */
export const addAccountsWithOperator = async (
  database: BenchDatabase,
  count: number,
): Promise<void> => {
  await addAccounts(database, count, await hashOfPassword())
  await makeOperator(database, 0)
}

/** The operator's access token, from a real login. */
export const operatorToken = async (address: string): Promise<string> => {
  const connection = await openConnection(address)
  try {
    const body = JSON.stringify({ email: emailOf(0), password, audience: issuer })
    const answer = await connection.exchange(requestText('POST', '/login', [], body))
    expectOk(answer)
    return tokenOf(answer.body)
  } finally {
    connection.close()
  }
}

/** Revokes one token. When it resolves, the revocation is committed and on disk. */
export const revokeToken = async (
  connection: Connection,
  operator: string,
  jti: string,
): Promise<void> => {
  const headers = [`authorization: Bearer ${operator}`]
  const body = JSON.stringify({ jti })
  expectOk(await connection.exchange(requestText('POST', '/admin/revoke', headers, body)))
}
