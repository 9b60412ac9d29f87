import { composeCore } from './compose/core.ts'
import { type Config, loadConfig, sizeThreadPool } from './config/index.ts'
import { explainFailure, failureText } from './failure.ts'
import { createFirstOperator } from './first-operator.ts'
import { type Instance, startInstance } from './instance.ts'
import { BoundedOutput } from './lib/bounded-output.ts'
import { systemRandom } from './lib/random.ts'
import { patientConfig, prepareSchema } from './schema.ts'
import { openStores, type Stores } from './stores.ts'
import { welcome } from './welcome.ts'

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
const firstOperator = async (config: Config, stores: Stores) => {
  const core = await composeCore(patientConfig(config), stores, {
    ...machine,
    report: () => undefined,
    reportEnd: () => undefined,
  })
  try {
    await core.time.start()
    return await createFirstOperator(core)
  } finally {
    await core.close()
  }
}

const start = async (
  config: Config,
  stores: Stores,
  { output, errors }: Outputs,
  signal: AbortSignal,
): Promise<Instance> => {
  const tell = (text: string): void => {
    errors.write(`${text}\n`)
    errors.flush()
  }
  await prepareSchema(config, stores, tell, signal)
  const greet = async (address: string): Promise<void> => {
    output.write(welcome(address, await firstOperator(config, stores)))
    output.flush()
  }
  // In production an operator is made on the command line: there a password on standard output ends in a log.
  return await startInstance(config, stores, {
    machine,
    logStream: output,
    ...(!config.production && { onListening: greet }),
  })
}

/**
 * Resolves at the first signal; one that comes during the start ends the waiting for Postgres, and else stops the service when the start is
 * over. Nobody listens for a second one, whichever it is, so that it ends the process at once, for whoever cannot wait.
 */
const askedToStop = (): Promise<void> =>
  new Promise((resolve) => {
    const signals = ['SIGINT', 'SIGTERM'] as const
    const hear = () => {
      for (const signal of signals) process.off(signal, hear)
      resolve()
    }
    for (const signal of signals) process.on(signal, hear)
  })

/**
 * Runs the service until it is asked to stop, then finishes what is under way and closes everything.
 * @throws whatever keeps it from starting; `explainFailure` puts it into words
 */
const serveUntilStopped = async (outputs: Outputs): Promise<void> => {
  const stop = askedToStop()
  const waiting = new AbortController()
  void stop.then(() => waiting.abort(new StoppedWhileWaiting()))
  const config = loadConfig()
  sizeThreadPool(config)
  const stores = await openStores(config, { joinsRunning: false })
  try {
    const service = await start(config, stores, outputs, waiting.signal)
    const lost = stores.lost.then(() => {
      throw new StoreLost('the embedded Postgres has ended; its log is postgres.log in DATA_DIR')
    })
    try {
      await Promise.race([stop, lost])
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
