import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { AppError } from '../lib/app-error.ts'
import type { Random } from '../lib/machine.ts'
import { httpErrors, problemMediaType, problemOf, statusText } from './errors.ts'
import { renderPage } from './page.ts'
import {
  acceptIn,
  headersTooLargePage,
  newRequestId,
  requestIdHeader,
  securityHeaders,
} from './request-checks.ts'
import { type Exchange, type InFlightRequests, isOwed } from './server-lifecycle.ts'

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

const problem = (error: AppError, requestId: string) => ({
  body: JSON.stringify(problemOf(error, requestId)),
  headers: { 'content-type': problemMediaType },
})

const render = (error: AppError, requestId: string, accept?: string) => {
  const page = headersTooLargePage(error, accept)
  const { body, headers: own } = page ? renderPage(page) : problem(error, requestId)
  const headers = {
    ...securityHeaders,
    ...own,
    [requestIdHeader]: requestId,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  return { body, headers }
}

const rawResponse = (error: AppError, requestId: string, accept?: string): string => {
  const { body, headers } = render(error, requestId, accept)
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

export type ClientErrors = {
  /** For what the HTTP parser refuses, and for requests that do not arrive in time: one answer, then the end. */
  readonly onClientError: (
    error: Error & { code?: string; rawPacket?: unknown },
    socket: Socket,
  ) => void
  /** Answers the expectations that Node would refuse without our headers. */
  readonly attach: (server: Server) => void
}

/** Answers requests that never reach the framework, in the same form as all others. */
export const clientErrorResponses = (random: Random, inFlight: InFlightRequests): ClientErrors => {
  return {
    onClientError: (error, socket) => {
      const unreachable = error.code === 'ECONNRESET' || !socket.writable
      if (unreachable || !mayAnswer(inFlight.on(socket))) {
        socket.destroy()
        return
      }
      const refusal = parserError(error.code)
      socket.write(rawResponse(refusal, newRequestId(random), acceptIn(error.rawPacket)))
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
