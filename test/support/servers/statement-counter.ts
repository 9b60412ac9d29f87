import type { Observer } from './tcp-proxy.ts'

/** Messages from client to server, by the letter of the protocol (PostgreSQL manual, "Message Formats"). */
const names: Readonly<Record<string, string>> = {
  P: 'Parse',
  B: 'Bind',
  E: 'Execute',
  S: 'Sync',
  Q: 'Query',
}

type ClientMessage = { readonly name: string; readonly body: Buffer }

/** Cuts the stream of one connection into messages. The first one, which opens the session, has no letter and is left out. */
const messageReader = (onMessage: (message: ClientMessage) => void): ((bytes: Buffer) => void) => {
  let rest = Buffer.alloc(0)
  let isOpening = true
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    for (;;) {
      const lengthAt = isOpening ? 0 : 1
      if (rest.length < lengthAt + 4) return
      const end = lengthAt + rest.readUInt32BE(lengthAt)
      if (rest.length < end) return
      const letter = rest.toString('latin1', 0, 1)
      if (!isOpening) {
        onMessage({ name: names[letter] ?? letter, body: rest.subarray(lengthAt + 4, end) })
      }
      isOpening = false
      rest = rest.subarray(end)
    }
  }
}

/** The name of the prepared statement that a Bind message runs: the second of its texts. */
const boundStatement = ({ name, body }: ClientMessage): string | undefined =>
  name === 'Bind' ? body.toString('utf8').split('\0')[1] : undefined

export type StatementCounter = {
  /** For the proxy before Postgres: one for each connection. */
  readonly observe: () => Observer
  /** Of the messages since the last look. A Sync (or a Query) ends each round trip. */
  readonly take: () => Record<'Parse' | 'Bind' | 'Execute' | 'Sync' | 'Query', number>
}

/** The name of the statement that a message makes or runs, or its text when it has no name; undefined for other messages. */
const statementIn = ({ name, body }: ClientMessage): string | undefined => {
  const [first = '', second = ''] = body.toString('utf8').split('\0', 2)
  if (name === 'Parse') return first === '' ? second : first
  // Running one without a name: what it is was said before.
  return name === 'Bind' && second !== '' ? second : undefined
}

/** A statement of the simple protocol carries its text: `LISTEN`, which a process sends when its own connection for it is open. */
const simpleStatementIn = ({ name, body }: ClientMessage): string | undefined =>
  name === 'Query' ? body.toString('utf8').split('\0', 1)[0] : undefined

/** Tells of each statement on its way to Postgres, by its name, or its text when it has none: for the proxy before Postgres. */
export const statementObserver =
  (onStatement: (statement: string) => void): (() => Observer) =>
  () => ({
    onClientBytes: messageReader((message) => {
      const statement = statementIn(message)
      if (statement !== undefined) onStatement(statement)
    }),
  })

const none = { Parse: 0, Bind: 0, Execute: 0, Sync: 0, Query: 0 }

const isKept = (name: string): name is keyof typeof none => Object.hasOwn(none, name)

/** @param isCounted by the name of a statement, or its text when it has none; every one unless told */
export const statementCounter = (
  isCounted: (statement: string) => boolean = () => true,
): StatementCounter => {
  let counts = { ...none }
  return {
    observe: () => {
      let isCounting = true
      return {
        onClientBytes: messageReader((message) => {
          const { name } = message
          const statement = statementIn(message) ?? simpleStatementIn(message)
          if (statement !== undefined) isCounting = isCounted(statement)
          if (!isCounting) return
          if (isKept(name)) counts[name] += 1
        }),
      }
    },
    take: () => {
      const taken = counts
      counts = { ...none }
      return taken
    },
  }
}

/** The last message of an answer says that the server is ready for the next: the statement is committed. */
const isReadyForQuery = (bytes: Buffer): boolean =>
  bytes.length >= 6 &&
  bytes.toString('latin1', bytes.length - 6, bytes.length - 1) === 'Z\0\0\0\x05'

export type AnswerCutter = {
  readonly observe: () => Observer
  /**
   * The answer to the next run of this prepared statement is lost after the commit: with its connection, or so that its client waits
   * for it in vain.
   */
  readonly arm: (statement: string, fate?: 'cut' | 'lose') => void
  readonly cuts: () => number
}

export const answerCutter = (): AnswerCutter => {
  let armedFor: string | undefined
  let armedWith: 'cut' | 'lose' = 'cut'
  let cuts = 0
  return {
    observe: () => {
      let isLosing = false
      return {
        onClientBytes: messageReader((message) => {
          if (armedFor === undefined || boundStatement(message) !== armedFor) return
          armedFor = undefined
          isLosing = true
        }),
        onServerBytes: (bytes) => {
          if (!isLosing) return 'pass'
          if (!isReadyForQuery(bytes)) return 'lose'
          cuts += 1
          return armedWith
        },
      }
    },
    arm: (statement, fate = 'cut') => {
      armedFor = statement
      armedWith = fate
    },
    cuts: () => cuts,
  }
}

/** What a process does by itself, whatever it is asked: some of it every second, the rest when a test takes long enough. */
const ofBackground =
  /revocation_(changes|batch|drop)|pg_current_snapshot|data_losses|loss_|database_clock|clock_timestamp|pg_is_in_recovery|signing_keys_|drop_expired|drop_device_failures|record_uses|LISTEN/

/** Whether a statement belongs to a request. For a `statementCounter` of a process that runs. */
export const isOfRequests = (statement: string): boolean => !ofBackground.test(statement)
