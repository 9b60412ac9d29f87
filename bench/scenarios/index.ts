import type { Scenario } from '../scenario.ts'
import { feed } from './feed.ts'
import { jwks } from './jwks.ts'
import { login } from './login.ts'
import { million } from './million.ts'
import { refresh } from './refresh.ts'
import { session } from './session.ts'
import { sign } from './sign.ts'
import { snapshot } from './snapshot.ts'
import { spread } from './spread.ts'
import { start } from './start.ts'
import { storage } from './storage.ts'
import { storm } from './storm.ts'
import { twoProcesses } from './two-processes.ts'
import { verify } from './verify.ts'

/** In the order of their run. */
export const scenarios: readonly Scenario[] = [
  refresh,
  login,
  storm,
  jwks,
  session,
  sign,
  twoProcesses,
  storage,
  start,
  million,
  verify,
  spread,
  snapshot,
  feed,
]
