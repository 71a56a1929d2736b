/** A web server on 127.0.0.1 that answers each path as told, faults included. It knows bytes, not models. */

import { createServer, type ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'

export interface Answer {
  readonly body: Uint8Array | string
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** whether a Range header is honoured (206); default true */
  readonly ranges?: boolean
  /** Content-Length as sent; default: the truth */
  readonly declaredBytes?: number
  /** without Content-Length, in chunks */
  readonly chunked?: boolean
  /** the connection is cut after the body's bytes */
  readonly cut?: boolean
  /** the connection stays open, silent, after that many bytes */
  readonly stallAfter?: number
}

const PIECE_BYTES = 64 * 1024

export interface SeenRequest {
  readonly path: string
  readonly range: string | undefined
  /** whether the client closed the connection before the answer was sent */
  dropped: boolean
}

export interface TestServer {
  /** without a slash at the end */
  readonly url: string
  readonly requests: SeenRequest[]
  close(): Promise<void>
}

/** Serves `answers` by path ('/model/config.json', query included); every other path is a 404. */
export async function serve(answers: Readonly<Record<string, Answer>>): Promise<TestServer> {
  const requests: SeenRequest[] = []
  const server = createServer((request, response) => {
    const seen: SeenRequest = {
      path: request.url ?? '',
      range: request.headers.range,
      dropped: false,
    }
    requests.push(seen)
    send(answers[seen.path] ?? { status: 404, body: 'not found' }, seen, response)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the test server has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function send(answer: Answer, seen: SeenRequest, response: ServerResponse): void {
  const whole = Buffer.from(answer.body)
  const range = /^bytes=(\d+)-(\d+)$/.exec(seen.range ?? '')
  const partial = range !== null && answer.ranges !== false && (answer.status ?? 200) === 200
  const start = partial ? Number(range[1]) : 0
  const end = partial ? Math.min(Number(range[2]) + 1, whole.length) : whole.length
  if (partial && start >= whole.length) {
    response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end()
    return
  }
  const body = whole.subarray(start, end)
  response.writeHead(partial ? 206 : (answer.status ?? 200), {
    ...(!answer.chunked && { 'content-length': String(answer.declaredBytes ?? body.length) }),
    ...(partial && { 'content-range': `bytes ${start}-${end - 1}/${whole.length}` }),
    ...answer.headers,
  })
  if (answer.cut) {
    response.write(body, () => response.destroy())
    return
  }
  // In pieces: a single large write counts as sent when the client is long gone.
  pipeline(Readable.from(pieces(body, answer.stallAfter)), response, (error) => {
    seen.dropped = error !== undefined && error !== null
  })
}

async function* pieces(body: Uint8Array, stallAfter = body.length): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < stallAfter; start += PIECE_BYTES) {
    yield body.subarray(start, Math.min(start + PIECE_BYTES, stallAfter))
  }
  if (stallAfter < body.length) await new Promise<never>(() => undefined)
}
