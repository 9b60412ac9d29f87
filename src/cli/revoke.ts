import { Command } from 'commander'
import { parseEmail } from '../accounts/index.ts'
import type { Revoked, RevokeTarget } from '../admin/index.ts'
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

type Options = OutputOptions & {
  readonly sub?: string
  readonly email?: string
  readonly sid?: string
  readonly jti?: string
  readonly everyone?: true
  readonly reason?: string
  readonly yes?: true
}

/** As in the admin API. */
const longestReason = 200

const targetOf = ({ sub, email, sid, jti, everyone }: Options): RevokeTarget => {
  const targets: RevokeTarget[] = []
  if (sub !== undefined) targets.push({ kind: 'account', accountId: sub })
  if (email !== undefined) targets.push({ kind: 'email', email })
  if (sid !== undefined) targets.push({ kind: 'session', sessionId: sid })
  if (jti !== undefined) targets.push({ kind: 'token', tokenId: jti })
  if (everyone) targets.push({ kind: 'everyone' })
  const [target] = targets
  if (target && targets.length === 1) return target
  throw usageError(
    'exactly one thing to revoke is needed',
    'name one of --sub, --email, --sid, --jti and --everyone',
  )
}

export const assertReason = (reason: string | undefined): void => {
  if (reason !== undefined && (reason === '' || reason.length > longestReason)) {
    throw usageError('the reason is empty or too long', `write 1 to ${longestReason} characters`)
  }
}

const checkTexts = ({ sub, email, sid, jti, reason }: Options): void => {
  assertId('--sub', sub)
  assertId('--sid', sid)
  assertId('--jti', jti)
  if (email !== undefined) parseEmail(email)
  assertReason(reason)
}

/** One mistyped line must not log everybody out. */
const confirmEveryone = async ({ everyone, yes }: Options): Promise<void> => {
  if (!everyone || yes) return
  const question = 'Everything issued so far is revoked and everybody must log in again.'
  if (!isInteractive()) throw usageError('--everyone needs a yes', 'add --yes to skip the question')
  if (!(await askYes(question))) throw usageError('nothing was revoked', 'type yes to continue')
}

export const printRevoked = (
  options: OutputOptions,
  { seq, committedAtMs, effectiveByMs, isChecked: checked }: Revoked,
): void => {
  const facts = {
    seq,
    committed_at: new Date(committedAtMs).toISOString(),
    effective_by: new Date(effectiveByMs).toISOString(),
  }
  const inWords = checked ? 'yes' : 'no: tokens are not stored, so a mistyped id is recorded too'
  printResult(options, { ...facts, checked }, factLines({ ...facts, checked: inWords }))
}

const act = async (options: Options): Promise<void> => {
  const target = targetOf(options)
  checkTexts(options)
  const config = await commandConfig()
  await confirmEveryone(options)
  const revoked = await withCore(config, (core) =>
    core.revoke({ target, note: options.reason, actor: commandLineActor }),
  )
  printRevoked(options, revoked)
}

export const revokeCommand = (): Command =>
  new Command('revoke')
    .description('revoke an account’s sessions and tokens, one session, one token, or everything')
    .option(
      '--sub <id>',
      'everything of the account with this id (its service clients are permanently disabled), or of this service client',
    )
    .option('--email <email>', 'the same, by its address')
    .option('--sid <id>', 'this session')
    .option('--jti <id>', 'this access token')
    .option('--everyone', 'everything issued so far')
    .option('--reason <text>', 'a reason for the audit trail')
    .option('--yes', 'do not ask before --everyone')
    .option(...jsonOption)
    .action(act)
