import { once } from 'node:events'
import { Socket } from 'node:net'
import pg from 'pg'
import {
  assertPooledSettings,
  assertServer,
  type ServerFacts,
  type SessionOptions,
  settingsFor,
  unfitIfWithheld,
} from './session-settings.ts'

/** The server accepts no writes: it is a standby, which may be behind, or it is read-only. */
export class NotPrimary extends Error {
  override readonly name = 'NotPrimary'
}

/**
 * How long one attempt to connect may take: name lookup, TCP, TLS, password and the check for a primary. It is independent of the time a
 * request waits: an attempt that is dropped and restarted whenever a request gives up never succeeds on a busy machine.
 */
export const connectWithinMs = 10_000

/**
 * For each address of the host name except the last one. Node's default of 250 ms gives up a good address that is briefly slow. An address
 * that drops packets delays a new connection by this time, which fits into the attempt above.
 */
const eachAddressMs = 1_000

/** `pg` calls `connect` with a port and a host, or with the path of a Unix socket. */
class PatientSocket extends Socket {
  // biome-ignore lint/suspicious/noExplicitAny: the overloads of `Socket.connect` have no common type
  override connect(...args: any[]): this {
    const [port, host] = args
    if (typeof host !== 'string') return super.connect(port)
    return super.connect({ port, host, autoSelectFamilyAttemptTimeout: eachAddressMs })
  }
}

type ParameterStatus = { readonly parameterName: string; readonly parameterValue: string }

/** Reported since PostgreSQL 14, at the start of a connection and at every change. */
const reports: Readonly<Record<string, string>> = {
  in_hot_standby: 'Postgres is a standby, which may be behind',
  default_transaction_read_only: 'Postgres is set to read only',
}

/**
 * Reads and sets everything at the start of a connection in one round trip. `$1` is the process id from the start message: a pooler makes
 * one up, and then nothing is set.
 */
const introduction = `SELECT pg_is_in_recovery() AS standby, pg_backend_pid() AS pid,
  current_setting('transaction_read_only')::boolean AS read_only,
  current_setting('server_version_num')::integer AS version,
  current_setting('server_encoding') AS encoding,
  (SELECT json_object_agg(name, CASE
      WHEN pg_backend_pid() <> $1 THEN current_setting(name)
      WHEN name = 'synchronous_commit' AND current_setting(name) <> 'off' THEN current_setting(name)
      ELSE set_config(name, value, false) END)
    FROM unnest($2::text[], $3::text[]) AS wanted (name, value)
    WHERE current_setting(name, true) IS NOT NULL) AS settings`

type Reply = ServerFacts & {
  readonly standby: boolean
  readonly pid: number
  readonly read_only: boolean
}

/** Where to connect, and how to find the primary among several hosts. */
export type Place = { readonly host: string; readonly port: number }

export type PrimaryConfig = pg.ClientConfig & {
  readonly session?: SessionOptions | undefined
  /** Called at the start of an attempt to connect; its time is part of the attempt's. */
  readonly findPlace?: (() => Promise<Place>) | undefined
}

/** How long the reply of a server behind a pooler is trusted, because the pooler may have switched to another server. */
const pooledReplyHoldsMs = 1_000

/**
 * A connection to a primary: connecting to any other server fails with `NotPrimary`. A standby may be behind by any time, so it would
 * accept sessions that have ended.
 *
 * The server reports its state at the start for free, but a pooler may leave it out or repeat that of an earlier server. So the server is
 * queried once for each connection. The query also returns the process id, because a pooler makes up another one.
 */
export class PrimaryClient extends pg.Client {
  readonly #socket: Socket
  readonly #refusals = new Set<string>()
  readonly #settings: Readonly<Record<string, string>>
  readonly #findPlace: PrimaryConfig['findPlace']
  #isConnected = false
  /** False after it broke, or after the server reported that it accepts no writes. */
  isUsable = true
  /** Whether the process id differs from that of the start: there is a pooler in between, and each statement may reach another server. */
  isPooled = false
  #isBroken = false
  /** From the start of the connection; a pooler makes one up. */
  #processId = 0
  #askedAtMs = 0

  constructor({ session = {}, findPlace, ...config }: PrimaryConfig = {}) {
    const socket = new PatientSocket()
    super({ ...config, stream: () => socket })
    this.#socket = socket
    this.#settings = settingsFor(session)
    this.#findPlace = findPlace
    // A broken connection fails the running statement and then emits an error event. Without a listener that event would end the process.
    this.on('error', this.#onBreak)
    this.on('end', this.#onBreak)
    this.connection.on('parameterStatus', this.#onReport)
    this.connection.on('backendKeyData', ({ processID }: { processID: number }) => {
      this.#processId = processID
    })
  }

  /** Where it connects to, without user and password. */
  get place(): string {
    return this.host.startsWith('/') ? this.host : `${this.host}:${this.port}`
  }

  /** False during the attempt to connect. */
  get isConnected(): boolean {
    return this.#isConnected
  }

  override connect(): Promise<this>
  override connect(callback: (error: Error) => void): void
  override connect(callback?: (error: Error) => void): Promise<this> | undefined {
    const opening = this.#open()
    if (!callback) return opening
    const done = callback as (error?: Error) => void
    void opening.then(() => done(), done)
    return undefined
  }

  /** Closes the connection without a termination message, which a frozen server would never acknowledge. */
  destroy(error?: Error): void {
    this.#socket.destroy(error)
  }

  /**
   * Behind a pooler: whether the next statement needs `assertPrimary` first. A direct connection stays with one server, which stays a
   * primary.
   */
  get isDueForCheck(): boolean {
    return performance.now() - this.#askedAtMs > pooledReplyHoldsMs
  }

  /** @throws NotPrimary, UnfitDatabase */
  async assertPrimary(): Promise<void> {
    this.#askedAtMs = performance.now()
    const [names, values] = [Object.keys(this.#settings), Object.values(this.#settings)]
    const { rows } = await this.query<Reply>(introduction, [this.#processId, names, values]).catch(
      (error: unknown) => {
        throw unfitIfWithheld(error)
      },
    )
    const [reply] = rows
    if (!reply) throw new TypeError('a SELECT without FROM gave no row')
    if (reply.standby) throw new NotPrimary(reports['in_hot_standby'])
    if (reply.read_only) throw new NotPrimary(reports['default_transaction_read_only'])
    assertServer(reply)
    this.isPooled = reply.pid !== this.#processId
    if (this.isPooled) assertPooledSettings(reply, this.#settings)
  }

  /** Rejects when the attempt is given up meanwhile. */
  async #moveTo(findPlace: () => Promise<Place>): Promise<void> {
    const givenUp = once(this.#socket, 'close').then(() => {
      throw new Error('timeout: no primary was found in time')
    })
    const { host, port } = await Promise.race([findPlace(), givenUp])
    // A destroyed socket would connect again.
    if (this.#socket.destroyed) await givenUp
    this.host = host
    this.port = port
  }

  async #open(): Promise<this> {
    const late = () =>
      this.destroy(new Error(`timeout: not connected within ${connectWithinMs} ms`))
    const timer = setTimeout(late, connectWithinMs)
    let hasBegun = false
    try {
      if (this.#findPlace) await this.#moveTo(this.#findPlace)
      hasBegun = true
      await super.connect()
      const [refusal] = this.#refusals
      if (refusal !== undefined) throw new NotPrimary(reports[refusal])
      await this.assertPrimary()
      this.#isConnected = true
      return this
    } catch (error) {
      this.destroy()
      // The driver emits this itself, unless connecting never began.
      if (!hasBegun) this.emit('end')
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  readonly #onBreak = (): void => {
    this.#isBroken = true
    this.isUsable = false
  }

  readonly #onReport = ({ parameterName, parameterValue }: ParameterStatus): void => {
    if (!(parameterName in reports)) return
    if (parameterValue === 'on') this.#refusals.add(parameterName)
    else this.#refusals.delete(parameterName)
    this.isUsable = !this.#isBroken && this.#refusals.size === 0
  }
}
