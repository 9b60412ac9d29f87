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
  /** The address the service listens on. */
  readonly address: string
  readonly issuer: string
  readonly operator: FirstOperator | undefined
}

/** The text for a person who has just started the service. The password is shown once and not stored in plain text. */
export const welcome = ({ address, issuer, operator }: Welcome): string => {
  // With PORT=0 and no ISSUER, the issuer is an address that no client can call.
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

/** At least 24 characters, more if the password policy requires it: 3 bytes make 4 characters. */
const madeUpPassword = ({ config, machine }: Core): string => {
  const bytes = Math.ceil((Math.max(24, config.passwordMinLength) * 3) / 4)
  return machine.random(bytes).toString('base64url')
}

const isTaken = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'account_exists'

/**
 * Creates an operator with a random password, for the first login to a new service. Only the caller of this function sees the password.
 * Returns nothing when an operator exists or the address is taken, for example by a process that started at the same moment and shows the
 * password itself.
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

/** The embedded Postgres ended unexpectedly. */
class StoreLost extends Error {
  override readonly name = 'StoreLost'
}

/** A signal arrived while the service waited for its database. There is nothing to finish. */
class StoppedWhileWaiting extends Error {
  override readonly name = 'StoppedWhileWaiting'
}

type Outputs = { readonly output: BoundedOutput; readonly errors: BoundedOutput }

/** Uses separate connections with longer timeouts than those of requests, because a failure here would lose the password. */
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
  const printError = (text: string): void => {
    errors.write(`${text}\n`)
    errors.flush()
  }
  await prepareSchema(config, stores, printError, signal)
  const greet = async (address: string): Promise<void> => {
    const operator = await firstOperator(config, stores)
    output.write(welcome({ address, issuer: config.issuer, operator }))
    output.flush()
  }
  // In production the command line creates the operator: a password on standard output would end up in a log.
  return await startInstance(config, stores, {
    machine,
    logStream: output,
    warnings: misspeltSettings().map(({ name, message }) => `${name} ${message}`),
    ...(!config.production && { onListening: greet }),
  })
}

type StopSignal = 'SIGINT' | 'SIGTERM'

/**
 * Resolves with the first signal. During the start it ends the wait for Postgres; otherwise the service stops once it has started. A second
 * signal has no handler, so it ends the process at once.
 */
const stopSignal = (): Promise<StopSignal> =>
  new Promise((resolve) => {
    const signals = ['SIGINT', 'SIGTERM'] as const
    const onSignal = (received: NodeJS.Signals) => {
      for (const signal of signals) process.off(signal, onSignal)
      resolve(received === 'SIGINT' ? 'SIGINT' : 'SIGTERM')
    }
    for (const signal of signals) process.on(signal, onSignal)
  })

/** Ctrl-C stops without a delay. SIGTERM comes from orchestrators, whose load balancers must notice first. */
const delayAfter = (signal: StopSignal, { shutdownDelaySeconds }: Config): number =>
  signal === 'SIGTERM' ? shutdownDelaySeconds : 0

/**
 * Runs the service until it receives a stop signal, then finishes running requests and closes everything.
 * @throws the reason why it cannot start; `explainFailure` turns it into text
 */
const serveUntilStopped = async (outputs: Outputs): Promise<void> => {
  const stop = stopSignal()
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

/** How long to wait for the last log lines after everything else is closed. */
const lastLinesMs = 1_000

/** Writes the warnings of Node through the bounded output. Node's own handler would block on a slow reader. */
const printWarnings = (errors: BoundedOutput): void => {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => errors.write(`warning: ${name}: ${message}\n`))
}

/**
 * Runs the service until it receives a stop signal. A slow or closed reader of standard output or standard error never blocks it.
 * @returns the exit code of the process; the reason for a failure is on standard error
 */
export const serve = async (): Promise<number> => {
  const outputs = { output: new BoundedOutput(1), errors: new BoundedOutput(2) }
  const { output, errors } = outputs
  process.once('exit', () => {
    output.writeRest()
    errors.writeRest()
  })
  printWarnings(errors)
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
  // Node joins its threads before it exits, and one of them may be blocked in a write forever (measured with Node 24.21).
  if (closed.includes(false)) process.kill(process.pid, 'SIGKILL')
  return exitCode
}
