import type { FirstOperator } from './first-operator.ts'

/** What somebody who has just started the service needs to know next. The password is shown here once and kept nowhere. */
export const welcome = (address: string, operator: FirstOperator | undefined): string => {
  const shown = operator && [
    'The first operator (this is shown once):',
    `  e-mail    ${operator.email}`,
    `  password  ${operator.password}`,
    '',
  ]
  return [
    '',
    `Cardea listens on ${address}`,
    '',
    ...(shown ?? []),
    'Try next, in another terminal:',
    '  npx cardea account create --email ada@example.com',
    `  curl -s ${address}/login -H 'content-type: application/json' \\`,
    `    -d '{"email":"ada@example.com","password":"…"}'`,
    `  curl -s ${address}/.well-known/jwks.json`,
    '',
    '',
  ].join('\n')
}
