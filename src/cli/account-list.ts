import { Command } from 'commander'
import { describeAccount, parseEmail } from '../accounts/index.ts'
import type { Core } from '../compose/core.ts'
import { loadConfig } from '../config/index.ts'
import { jsonOption, type OutputOptions, print } from './output.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & { readonly email?: string }

type Shown = ReturnType<typeof describeAccount>

const pageSize = 500

/** Page by page, so that a million accounts need no more memory than a page. */
async function* allAccounts({ stores }: Core, email: string | undefined): AsyncGenerator<Shown> {
  const only = email === undefined ? {} : { canonicalEmail: parseEmail(email).canonical }
  let after: { afterId?: string } = {}
  for (;;) {
    const page = await stores.accounts.list({ ...only, ...after, limit: pageSize })
    yield* page.map(describeAccount)
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = { afterId: last.accountId }
  }
}

const lineOf = ({ id, status, created_at, email, roles }: Shown): string =>
  [id, status.padEnd('disabled'.length), created_at, email, roles.join(' ')].join('  ').trimEnd()

const show = async (core: Core, { email, json }: Options): Promise<void> => {
  // Whoever looks at other people's data is in the trail, here as in the admin API.
  await core.stores.audit.record({
    event: 'operator_read',
    outcome: 'success',
    actor: commandLineActor,
    details: { what: 'accounts' },
  })
  let separator = ''
  if (json) print('{"accounts":[')
  for await (const account of allAccounts(core, email)) {
    print(json ? `${separator}${JSON.stringify(account)}` : `${lineOf(account)}\n`)
    separator = ','
  }
  if (json) print(']}\n')
}

export const listAccountsCommand = (): Command =>
  new Command('list')
    .description('show all accounts: id, status, creation, address, roles')
    .option('--email <email>', 'only the account with this address')
    .option(...jsonOption)
    .action(async (options: Options) => {
      const config = loadConfig()
      await withCore(config, (core) => show(core, options))
    })
