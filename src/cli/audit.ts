import { Command, InvalidArgumentError } from 'commander'
import {
  type AuditEntry,
  postgresAuditPurge,
  postgresAuditReader,
  postgresAuditTrail,
  purgeAuditTrail,
} from '../audit/index.ts'
import type { Core } from '../core.ts'
import { withOwner } from '../schema.ts'
import type { StoreCredentials } from '../store-credentials.ts'
import { findAccountId, type OneAccountOptions } from './accounts.ts'
import {
  assertId,
  factLines,
  jsonOption,
  type OutputOptions,
  printResult,
  usageError,
} from './output.ts'
import { askYes, isInteractive } from './prompt.ts'
import { commandConfig, commandLineActor, withCore } from './with-core.ts'

type ListOptions = OneAccountOptions & { readonly before?: number; readonly limit: number }

const defaultLimit = 50

/** A page is in memory at once. Use `--before` for the following ones. */
const maxAtOnce = 1_000

/** Digits only: `Number()` would also accept "1e3" and "". */
const wholeNumber =
  (most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (/^[1-9][0-9]{0,15}$/.test(text) && value <= most) return value
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${most}.`)
  }

const describe = (entry: AuditEntry) => ({
  id: entry.id,
  at: new Date(entry.atMs).toISOString(),
  event: entry.event,
  outcome: entry.outcome,
  ...(entry.reason !== undefined && { reason: entry.reason }),
  actor: entry.actor,
  ...(entry.accountId !== undefined && { account_id: entry.accountId }),
  ...(entry.address !== undefined && { address: entry.address }),
  ...(entry.userAgent !== undefined && { user_agent: entry.userAgent }),
  ...(entry.requestId !== undefined && { request_id: entry.requestId }),
  details: entry.details,
})

type Shown = ReturnType<typeof describe>

const lineOf = ({ id, at, event, outcome, reason, actor, account_id, address }: Shown): string =>
  [
    String(id),
    at,
    reason === undefined ? event : `${event} (${reason})`,
    outcome,
    `by ${actor}`,
    ...(account_id === undefined ? [] : [`account ${account_id}`]),
    ...(address === undefined ? [] : [`from ${address}`]),
  ].join('  ')

const read = async (
  core: Core,
  { sub, email, before, limit }: ListOptions,
): Promise<AuditEntry[]> => {
  const isOfOne = sub !== undefined || email !== undefined
  const accountId = isOfOne
    ? await findAccountId(core, { ...(sub && { sub }), ...(email && { email }) })
    : undefined
  const entries = await postgresAuditReader(core.database).list({
    accountId,
    beforeId: before,
    limit,
  })
  // Recorded after the page was read, so that this read is not part of its own result.
  await core.stores.audit.record({
    event: 'operator_read',
    outcome: 'success',
    actor: commandLineActor,
    ...(accountId !== undefined && { accountId }),
    details: { what: 'audit' },
  })
  return entries
}

const list = async (options: ListOptions): Promise<void> => {
  const { sub, email, limit } = options
  if (sub !== undefined && email !== undefined) {
    throw usageError('one account at most', 'name it with --sub or with --email')
  }
  assertId('--sub', sub)
  const config = await commandConfig()
  const entries = (await withCore(config, (core) => read(core, options))).map(describe)
  const last = entries.length === limit ? entries.at(-1) : undefined
  const more = last && `older ones: --before ${last.id}`
  printResult(options, { entries, ...(last && { next: last.id }) }, [
    ...entries.map(lineOf),
    ...(more ? [more] : []),
  ])
}

const listAuditCommand = (): Command =>
  new Command('list')
    .description(
      'show the audit trail, newest first: number, time, event, outcome, actor, account, address',
    )
    .option('--sub <id>', 'only entries about the account with this id')
    .option('--email <email>', 'the same, by its address')
    .option(
      '--before <number>',
      'only entries older than this one',
      wholeNumber(Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--limit <count>',
      `the maximum number of entries, up to ${maxAtOnce}; ${defaultLimit} unless given`,
      wholeNumber(maxAtOnce),
      defaultLimit,
    )
    .option(...jsonOption)
    .action(list)

type PurgeOptions = OutputOptions & {
  readonly before?: string
  readonly olderThan?: string
  readonly yes?: true
}

type Limit = {
  /** For the confirmation. */
  readonly text: string
  /** By the time of Postgres: a wrong clock of this machine must not delete more. */
  readonly beforeMs: (nowMs: number) => number
}

const dayMs = 86_400_000

/** A date means its beginning in UTC. Refuses other formats that `Date` accepts, and days that do not exist. */
const readTime = (text: string): Limit => {
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$/.test(text)
  const ms = isTime ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 10))) {
    return { text: `from before ${new Date(ms).toISOString()}`, beforeMs: () => ms }
  }
  throw usageError(
    '--before is not a time',
    'write a date such as 2026-01-31, or 2026-01-31T12:00Z',
  )
}

const readDays = (text: string): Limit => {
  if (/^[1-9]\d{0,4}$/.test(text)) {
    return {
      text: `that is older than ${text} days`,
      beforeMs: (nowMs) => nowMs - Number(text) * dayMs,
    }
  }
  throw usageError('--older-than is not a number of days', 'write 1 to 99999')
}

const limitOf = ({ before, olderThan }: PurgeOptions): Limit => {
  if (before !== undefined && olderThan === undefined) return readTime(before)
  if (before === undefined && olderThan !== undefined) return readDays(olderThan)
  throw usageError('exactly one time is needed', 'give --before or --older-than')
}

/** Only a back-up can restore an entry. */
const confirm = async ({ yes }: PurgeOptions, { text }: Limit): Promise<void> => {
  if (yes) return
  if (!isInteractive()) {
    throw usageError('removing entries must be confirmed', 'add --yes to skip the question')
  }
  if (!(await askYes(`Every entry of the audit trail ${text} is permanently removed.`)))
    throw usageError('nothing was removed', 'type yes to continue')
}

/** Runs with the role that owns the trail, because the service's role may not delete. */
const purge = async (core: Core, stores: StoreCredentials, limit: Limit) => {
  const { machine, pseudonym } = core
  const nowMs = machine.clock.nowMs()
  const beforeMs = limit.beforeMs(nowMs)
  if (beforeMs > nowMs - dayMs) {
    throw usageError('the entries of the last day are kept', 'name an earlier time')
  }
  const removed = await withOwner(core.config, stores, (owner) => {
    const run = purgeAuditTrail({
      inTransaction: (work) =>
        owner.transaction((sql) =>
          work({
            audit: postgresAuditTrail(sql, machine.clock, pseudonym),
            purge: postgresAuditPurge(sql),
          }),
        ),
    })
    return run(beforeMs, commandLineActor)
  })
  return { removed, before: new Date(beforeMs).toISOString() }
}

const act = async (options: PurgeOptions): Promise<void> => {
  const limit = limitOf(options)
  const config = await commandConfig()
  await confirm(options, limit)
  const facts = await withCore(config, (core, stores) => purge(core, stores, limit))
  printResult(options, facts, factLines(facts))
}

const purgeAuditCommand = (): Command =>
  new Command('purge')
    .description(
      'permanently remove old entries of the audit trail, with the role of MIGRATE_DATABASE_URL',
    )
    .option('--before <time>', 'entries from before this date or time, in UTC')
    .option('--older-than <days>', 'entries that are older than this number of days')
    .option('--yes', 'do not ask')
    .option(...jsonOption)
    .action(act)

export const auditCommand = (): Command =>
  new Command('audit')
    .description('read the audit trail, and keep it short')
    .addCommand(listAuditCommand())
    .addCommand(purgeAuditCommand())
