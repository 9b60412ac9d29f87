import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { AppError } from '../lib/app-error.ts'
import type { Random } from '../lib/random.ts'
import { httpErrors } from './errors.ts'
import { problemMediaType, problemOf } from './problem.ts'
import { newRequestId, requestIdHeader } from './request-id.ts'
import { securityHeaders } from './security-headers.ts'
import { statusText } from './status-text.ts'
import { type Exchange, isOwed, type Traffic } from './traffic.ts'

/** What the parser found wrong, as an answer; anything else is a malformed request. */
const parserError = (code: string | undefined): AppError => {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return httpErrors.error('headers_too_large')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return httpErrors.error('payload_too_large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return httpErrors.error('request_timeout')
    default:
      return httpErrors.error('invalid_request')
  }
}

const render = (error: AppError, requestId: string) => {
  const body = JSON.stringify(problemOf(error, requestId))
  const headers = {
    ...securityHeaders,
    [requestIdHeader]: requestId,
    'content-type': problemMediaType,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  return { body, headers }
}

const rawResponse = (error: AppError, requestId: string): string => {
  const { body, headers } = render(error, requestId)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${error.status} ${statusText(error.status)}\r\n${lines.join('')}\r\n${body}`
}

/**
 * Whether our next bytes would be taken for the answer to what was wrong. Not while the answer to an earlier request is
 * owed, and not when the request that failed has had its answer: the client would take ours for another's.
 */
const mayAnswer = (exchanges: readonly Exchange[]): boolean => {
  const last = exchanges.at(-1)
  if (last === undefined) return true
  if (last.reply.request.raw.complete) return !exchanges.some(isOwed)
  return exchanges.length === 1 && isOwed(last) && !last.reply.raw.headersSent
}

export type RawAnswers = {
  /** For what the HTTP parser refuses, and for requests that do not arrive in time: one answer, then the end. */
  readonly onClientError: (error: Error & { code?: string }, socket: Socket) => void
  /** Answers the expectations that Node would refuse without our headers. */
  readonly attach: (server: Server) => void
}

/** Answers requests that never reach the framework, in the same form as all others. */
export const createRawAnswers = (random: Random, traffic: Traffic): RawAnswers => {
  return {
    onClientError: (error, socket) => {
      const unreachable = error.code === 'ECONNRESET' || !socket.writable
      if (unreachable || !mayAnswer(traffic.on(socket))) {
        socket.destroy()
        return
      }
      socket.write(rawResponse(parserError(error.code), newRequestId(random)))
      // The rest of what the client sends could be a smuggled request: it is never read.
      socket.destroySoon()
    },
    attach: (server) => {
      server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
        const { body, headers } = render(
          httpErrors.error('expectation_failed'),
          newRequestId(random),
        )
        response.writeHead(417, headers).end(body)
      })
    },
  }
}
