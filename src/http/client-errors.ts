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

/** Maps an error of the HTTP parser to an error response. Unknown errors are a malformed request. */
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
 * Whether the client would match our next bytes with the failed request. Not while an earlier request has no response yet, and not when the
 * failed request already has one: the client would take this response for that of another request.
 */
const mayRespond = (exchanges: readonly Exchange[]): boolean => {
  const last = exchanges.at(-1)
  if (last === undefined) return true
  if (last.reply.request.raw.complete) return !exchanges.some(isOwed)
  return exchanges.length === 1 && isOwed(last) && !last.reply.raw.headersSent
}

export type ClientErrors = {
  /**
   * Handles requests that the HTTP parser refuses and requests that do not arrive in time: sends one response, then closes the connection.
   */
  readonly onClientError: (
    error: Error & { code?: string; rawPacket?: unknown },
    socket: Socket,
  ) => void
  /** Handles `Expect` headers, which Node would refuse without our headers. */
  readonly attach: (server: Server) => void
}

/** Sends error responses for requests that never reach Fastify, in the same form as all others. */
export const clientErrorResponses = (random: Random, inFlight: InFlightRequests): ClientErrors => {
  return {
    onClientError: (error, socket) => {
      const unreachable = error.code === 'ECONNRESET' || !socket.writable
      if (unreachable || !mayRespond(inFlight.on(socket))) {
        socket.destroy()
        return
      }
      const refusal = parserError(error.code)
      socket.write(rawResponse(refusal, newRequestId(random), acceptIn(error.rawPacket)))
      // The rest of what the client sends could be a smuggled request, so it is never read.
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
