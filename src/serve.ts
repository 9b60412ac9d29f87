import { type Instance, startInstance } from './app.ts'
import {
  type Config,
  givenSettings,
  loadConfig,
  misspeltSettings,
  sizeThreadPool,
} from './config/index.ts'
import { type Core, openCore } from './core.ts'
import { explainFailure, failureText } from './explain-failure.ts'
import { AppError } from './lib/app-error.ts'
import { BoundedOutput } from './lib/bounded-output.ts'
import { systemRandom } from './lib/machine.ts'
import { patientConfig, prepareSchema } from './schema.ts'
import { operatorRole } from './sessions/index.ts'
import { openStores, type StoreCredentials } from './store-credentials.ts'

export type Welcome = {
  /** Where the service listens. */
  readonly address: string
  readonly issuer: string
  readonly operator: FirstOperator | undefined
}

/** What somebody who has just started the service needs to know next. The password is shown here once and kept nowhere. */
export const welcome = ({ address, issuer, operator }: Welcome): string => {
  // With PORT=0 and no ISSUER, the issuer is an address that nobody can call.
  const base = issuer.endsWith(':0') ? address : issuer
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
    `  curl -s ${base}/login -H 'content-type: application/json' \\`,
    `    -d '{"email":"ada@example.com","password":"…"}'`,
    `  curl -s ${base}/.well-known/jwks.json`,
    '',
    '',
  ].join('\n')
}

export type FirstOperator = { readonly email: string; readonly password: string }

const email = 'operator@cardea.localhost'

/** 24 characters, or as many as the policy asks for: 3 bytes make 4. */
const madeUpPassword = ({ config, machine }: Core): string => {
  const bytes = Math.ceil((Math.max(24, config.passwordMinLength) * 3) / 4)
  return machine.random(bytes).toString('base64url')
}

const isTaken = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'account_exists'

/**
 * A way in for somebody who has just started the service for the first time: an operator with a made-up password, which nobody but the
 * caller ever sees. Nothing when there is an operator already, or somebody else has that address: another instance, which started at
 * the same moment, tells its caller the password.
 */
export const createFirstOperator = async (core: Core): Promise<FirstOperator | undefined> => {
  const { accounts } = core.stores
  if (await accounts.hasAnyWithRole(operatorRole)) return undefined
  if (await accounts.findByEmail(email)) return undefined
  const password = madeUpPassword(core)
  const actor = { kind: 'system' } as const
  try {
    await core.createAccount({ email, password, roles: [operatorRole], actor })
  } catch (error) {
    if (isTaken(error)) return undefined
    throw error
  }
  return { email, password }
}

const machine = { random: systemRandom }

/** An embedded Postgres that ended by itself. */
class StoreLost extends Error {
  override readonly name = 'StoreLost'
}

/** A signal came while the service waited for its database: there is nothing to finish. */
class StoppedWhileWaiting extends Error {
  override readonly name = 'StoppedWhileWaiting'
}

type Outputs = { readonly output: BoundedOutput; readonly errors: BoundedOutput }

/** Over connections of its own, which are more patient than those of requests: the password is shown once, or lost. */
const firstOperator = async (config: Config, stores: StoreCredentials) => {
  const core = await openCore(patientConfig(config), stores, {
    ...machine,
    report: () => undefined,
    reportEnd: () => undefined,
  })
  try {
    await core.machine.clock.start()
    return await createFirstOperator(core)
  } finally {
    await core.close()
  }
}

const start = async (
  config: Config,
  stores: StoreCredentials,
  { output, errors }: Outputs,
  signal: AbortSignal,
): Promise<Instance> => {
  const tell = (text: string): void => {
    errors.write(`${text}\n`)
    errors.flush()
  }
  await prepareSchema(config, stores, tell, signal)
  const greet = async (address: string): Promise<void> => {
    const operator = await firstOperator(config, stores)
    output.write(welcome({ address, issuer: config.issuer, operator }))
    output.flush()
  }
  // In production an operator is made on the command line: there a password on standard output ends in a log.
  return await startInstance(config, stores, {
    machine,
    logStream: output,
    warnings: misspeltSettings().map(({ name, message }) => `${name} ${message}`),
    ...(!config.production && { onListening: greet }),
  })
}

type StopSignal = 'SIGINT' | 'SIGTERM'

/**
 * Resolves with the first signal; one that comes during the start ends the waiting for Postgres, and else stops the service when the start is
 * over. Nobody listens for a second one, whichever it is, so that it ends the process at once, for whoever cannot wait.
 */
const askedToStop = (): Promise<StopSignal> =>
  new Promise((resolve) => {
    const signals = ['SIGINT', 'SIGTERM'] as const
    const hear = (heard: NodeJS.Signals) => {
      for (const signal of signals) process.off(signal, hear)
      resolve(heard === 'SIGINT' ? 'SIGINT' : 'SIGTERM')
    }
    for (const signal of signals) process.on(signal, hear)
  })

/** Whoever presses Ctrl-C waits for it; orchestrators send SIGTERM, and have load balancers that must notice first. */
const delayAfter = (signal: StopSignal, { shutdownDelaySeconds }: Config): number =>
  signal === 'SIGTERM' ? shutdownDelaySeconds : 0

/**
 * Runs the service until it is asked to stop, then finishes what is under way and closes everything.
 * @throws whatever keeps it from starting; `explainFailure` puts it into words
 */
const serveUntilStopped = async (outputs: Outputs): Promise<void> => {
  const stop = askedToStop()
  const waiting = new AbortController()
  void stop.then(() => waiting.abort(new StoppedWhileWaiting()))
  const config = loadConfig(undefined, { checksFiles: true })
  sizeThreadPool(config)
  const stores = await openStores(config, { joinsRunning: false, announcement: givenSettings() })
  try {
    const service = await start(config, stores, outputs, waiting.signal)
    const lost = stores.lost.then(() => {
      throw new StoreLost('the embedded Postgres has ended; its log is postgres.log in DATA_DIR')
    })
    try {
      const signal = await Promise.race([stop, lost])
      await Promise.race([service.drain(delayAfter(signal, config)), lost])
    } finally {
      await service.stop()
    }
  } finally {
    await stores.close()
  }
}

/** How long the end of the log is waited for when everything else is closed. */
const lastLinesMs = 1_000

/** What Node itself has to say goes to standard error by a call that waits for a reader. */
const tellWarnings = (errors: BoundedOutput): void => {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => errors.write(`warning: ${name}: ${message}\n`))
}

/**
 * Runs the service until it is asked to stop. What is written to standard output and standard error never holds it up, and neither
 * does their end.
 * @returns the exit code of the process; why it failed stands on standard error
 */
export const serve = async (): Promise<number> => {
  const outputs = { output: new BoundedOutput(1), errors: new BoundedOutput(2) }
  const { output, errors } = outputs
  process.once('exit', () => {
    output.writeRest()
    errors.writeRest()
  })
  tellWarnings(errors)
  let exitCode = 0
  try {
    await serveUntilStopped(outputs)
  } catch (error) {
    if (!(error instanceof StoppedWhileWaiting)) {
      const failure = explainFailure(error)
      errors.write(failureText(failure))
      exitCode = failure.exitCode
    }
  }
  const closed = await Promise.all([output.close(lastLinesMs), errors.close(lastLinesMs)])
  // Node joins its threads before it exits, and one of them is in a write that does not end (measured, Node 24.21).
  if (closed.includes(false)) process.kill(process.pid, 'SIGKILL')
  return exitCode
}
