import { Command } from 'commander'
import { accountErrors } from '../accounts/index.ts'
import type { Core } from '../core.ts'
import { boundSeconds } from '../revocation/index.ts'
import { describeSession, endSession, sessionErrors } from '../sessions/index.ts'
import {
  assertOneAccount,
  findAccountId,
  type OneAccountOptions,
  oneAccountCommand,
} from './accounts.ts'
import { assertId, factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { assertReason } from './revoke.ts'
import { commandConfig, commandLineActor, withCore } from './with-core.ts'

/** The user agent is the only text that the client chooses, so it is last in the line. */
const read = async (core: Core, options: OneAccountOptions) => {
  const { accounts, sessions, audit } = core.stores
  const accountId = await findAccountId(core, options)
  if (!(await accounts.find(accountId))) throw accountErrors.error('account_not_found')
  await audit.record({
    event: 'operator_read',
    outcome: 'success',
    actor: commandLineActor,
    accountId,
    details: { what: 'sessions' },
  })
  const summaries = await sessions.listOfAccount(accountId, core.machine.clock.nowMs())
  return summaries.map((summary) => {
    const { current: _, ...shown } = describeSession(summary)
    return shown
  })
}

const listSessions = (): Command =>
  oneAccountCommand('list', 'show the sessions of an account: id, kind, last use, address, device')
    .option(...jsonOption)
    .action(async (options: OneAccountOptions) => {
      assertOneAccount(options)
      const config = await commandConfig()
      const sessions = await withCore(config, (core) => read(core, options))
      const lines = sessions.map(({ id, kind, last_used_at: used, address, device }) =>
        [id, kind.padEnd('cookie'.length), used, address, device].join('  ').trimEnd(),
      )
      printResult(options, { sessions }, lines)
    })

type EndOptions = OutputOptions & { readonly reason?: string }

const end = async (sessionId: string, { reason, ...options }: EndOptions): Promise<void> => {
  assertId('session_id', sessionId)
  assertReason(reason)
  const config = await commandConfig()
  const committedAtMs = await withCore(config, async ({ inTransaction, machine: { clock } }) => {
    const isEnded = await inTransaction((stores) =>
      endSession(stores, {
        sessionId,
        reason: 'revoked',
        nowMs: clock.nowMs(),
        actor: commandLineActor,
        ...(reason !== undefined && { details: { note: reason } }),
      }),
    )
    if (!isEnded) throw sessionErrors.error('session_not_found')
    return clock.nowMs()
  })
  const shown = {
    id: sessionId,
    committed_at: new Date(committedAtMs).toISOString(),
    effective_by: new Date(committedAtMs + boundSeconds * 1000).toISOString(),
  }
  printResult(options, shown, factLines(shown))
}

const endOne = (): Command =>
  new Command('end')
    .description('end one session and revoke its access tokens')
    .argument('<session_id>', 'as `session list` shows it')
    // One id in 64 begins with `-` and would be refused as an unknown option. `assertId` refuses what is not an id.
    .allowUnknownOption()
    .option('--reason <text>', 'a reason for the audit trail')
    .option(...jsonOption)
    .action(end)

export const sessionCommand = (): Command =>
  new Command('session')
    .description('show and end sessions')
    .addCommand(listSessions())
    .addCommand(endOne())
