/**
 * The `fetch` under our own SDK client: undici's `dispatch`, without the web streams in between.
 *
 * The SDK builds the request and reads the status, the headers and an error's text. The body of a success goes
 * straight to the mailbox that rides on the request, as does the power to close its socket.
 */
import type { Dispatcher } from "undici"
import * as Classify from "./Classify.ts"
import type { Mailbox } from "./Mailbox.ts"

/** Under this key the mailbox rides on the request's `fetchOptions` through the SDK. @internal */
export const mailboxKey = Symbol.for("effect-claude/transport/mailbox")

/** An error's body longer than this is cut: it is for reading, not for keeping. */
const MAX_ERROR_BYTES = 256 * 1024

/** How long an error's body may take: its status and headers say what matters. */
const ERROR_BODY_MILLIS = 1000

const aborted = new Error("The request was closed.")

/** What the SDK reads of a response; the body of a success is not in it. @internal */
export class DispatchedResponse {
  readonly status: number
  readonly ok: boolean
  readonly url: string
  readonly headers: DispatchedHeaders
  readonly body = null
  readonly bodyUsed = false
  private readonly errorText: Promise<string>

  constructor(status: number, url: string, headers: DispatchedHeaders, errorText: Promise<string>) {
    this.status = status
    this.ok = status >= 200 && status < 300
    this.url = url
    this.headers = headers
    this.errorText = errorText
  }

  text(): Promise<string> {
    return this.errorText
  }
}

/** Headers as undici parsed them: lower-case names, read without building a `Headers`. */
class DispatchedHeaders {
  private readonly raw: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

  constructor(raw: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>) {
    this.raw = raw
  }

  get(name: string): string | null {
    const value = this.raw[name] ?? this.raw[name.toLowerCase()]
    return value === undefined ? null : typeof value === "string" ? value : value.join(", ")
  }

  has(name: string): boolean {
    return this.get(name) !== null
  }

  *entries(): IterableIterator<[string, string]> {
    for (const name of Object.keys(this.raw)) yield [name, this.get(name)!]
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries()
  }
}

interface FetchInit extends Omit<RequestInit, "headers"> {
  readonly headers?: Iterable<[string, string]> | undefined
  readonly [mailboxKey]?: Mailbox | undefined
}

/** A `fetch` over a dispatcher: the body of a request that carries a mailbox goes there, others are undici's own. @internal */
export const makeFetch = (dispatcher: Dispatcher): typeof globalThis.fetch => {
  let last: { readonly url: string; readonly origin: string; readonly path: string } | undefined
  const dispatch = (url: string, init: FetchInit, mailbox: Mailbox) =>
    new Promise<DispatchedResponse>((resolve, reject) => {
      if (last?.url !== url) {
        const { origin, pathname, search } = new URL(url)
        last = { url, origin, path: pathname + search }
      }
      const handler = new Handler(url, mailbox, resolve, reject)
      mailbox.attach(handler)
      // Dispatched, it would cost an idle connection: undici closes the one that an aborted request comes to.
      if (handler.aborted) return reject(aborted)
      dispatcher.dispatch({
        origin: last.origin,
        path: last.path,
        // The SDK sends POST here, with a body that it has already made a string.
        method: (init.method ?? "GET") as Dispatcher.HttpMethod,
        headers: init.headers as Iterable<[string, string]>,
        body: typeof init.body === "string" ? wellFormed(init.body) : null,
        headersTimeout: 0,
        bodyTimeout: 0
      }, handler)
    })
  const fetch = (url: string, init: FetchInit = {}) => {
    const mailbox = init[mailboxKey]
    // Files pass here too, and token exchanges of the SDK's credential providers, without a mailbox.
    return mailbox === undefined ? fetchOver(dispatcher, url, init) : dispatch(url, init, mailbox)
  }
  // The SDK reads only what DispatchedResponse has: ok, status, url, headers.get/entries, body, text().
  return fetch as unknown as typeof globalThis.fetch
}

/**
 * JSON without half characters, with which a text ends that was cut by its length: the API refuses them, and with them
 * each later turn of a conversation. What is whole is never written as an escape.
 */
const wellFormed = (json: string): string =>
  json.includes("\\ud") ? json.replace(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, "$1\\ufffd") : json

/** Not the built-in one: that knows no dispatcher of ours, and keeps all of a body that is a stream until it is sent. */
const fetchOver = async (dispatcher: Dispatcher, url: string, init: FetchInit) => {
  const { fetch } = await import("undici")
  // The types of undici and of the DOM differ in their names only.
  return fetch(url, { ...init, dispatcher } as import("undici").RequestInit)
}

class Handler implements Dispatcher.DispatchHandler {
  private readonly url: string
  private readonly mailbox: Mailbox
  private readonly resolve: (response: DispatchedResponse) => void
  private readonly reject: (error: Error) => void
  private controller: Dispatcher.DispatchController | undefined
  aborted = false
  private responded = false
  private errorTimer: NodeJS.Timeout | undefined
  private errorBody: { chunks: Array<Buffer>; bytes: number; done: (text: string) => void } | undefined

  constructor(
    url: string,
    mailbox: Mailbox,
    resolve: (response: DispatchedResponse) => void,
    reject: (error: Error) => void
  ) {
    this.url = url
    this.mailbox = mailbox
    this.resolve = resolve
    this.reject = reject
  }

  pause(): void {
    this.controller?.pause()
  }

  resume(): void {
    this.controller?.resume()
  }

  abort(): void {
    this.aborted = true
    this.controller?.abort(aborted)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // One that was given up while it waited for a connection is never sent.
    if (this.aborted) controller.abort(aborted)
    this.controller = controller
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | Array<string> | undefined>
  ): void {
    if (status < 200) return
    this.responded = true
    const text = status < 300
      ? noText
      : new Promise<string>((done) => {
        this.errorBody = { chunks: [], bytes: 0, done }
        this.errorTimer = setTimeout(() => {
          this.endErrorBody()
          controller.abort(aborted)
        }, ERROR_BODY_MILLIS).unref()
      })
    this.resolve(new DispatchedResponse(status, this.url, new DispatchedHeaders(headers), text))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.errorBody === undefined) return this.mailbox.push(chunk)
    this.errorBody.chunks.push(chunk)
    this.errorBody.bytes += chunk.length
    if (this.errorBody.bytes > MAX_ERROR_BYTES) {
      this.endErrorBody()
      controller.abort(aborted)
    }
  }

  onResponseEnd(): void {
    if (this.errorBody === undefined) this.mailbox.end()
    else this.endErrorBody()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.responded) this.reject(error)
    // An error's status is known: what arrived of its text will do.
    else if (this.errorBody !== undefined) this.endErrorBody()
    else this.mailbox.fail(Classify.fromBroken(error))
  }

  private endErrorBody(): void {
    clearTimeout(this.errorTimer)
    this.errorBody?.done(Buffer.concat(this.errorBody.chunks).toString("utf8"))
  }
}

const noText = Promise.resolve("")
