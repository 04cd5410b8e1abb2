/** A simulator in another process, and a client of it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { fork } from "node:child_process"
import { join } from "node:path"
import * as Claude from "../../src/Claude.ts"
import type * as ClaudeError from "../../src/ClaudeError.ts"
import type { Order, Request, Spec } from "./server.ts"

export interface Simulator {
  readonly url: string
  readonly tell: (order: Exclude<Order, "requests">) => Effect.Effect<void>
  /** All that it saw. */
  readonly requests: Effect.Effect<ReadonlyArray<Request>>
}

/** Starts one, until the scope closes. */
export const start = (spec: Spec): Effect.Effect<Simulator, never, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => fork(join(import.meta.dirname, "server.ts"), [JSON.stringify(spec)])),
      (child) => Effect.sync(() => child.kill())
    )
    const url = yield* Effect.promise(() =>
      new Promise<string>((resolve, reject) => {
        child.once("message", (url) => resolve(String(url)))
        child.once("exit", (code) => reject(new Error(`the simulator ended with ${code}`)))
      })
    )
    const waiting = new Map<number, (value: unknown) => void>()
    let ids = 0
    child.on("message", (message) => {
      // What server.ts answers.
      const { id, value } = message as { readonly id: number; readonly value: unknown }
      waiting.get(id)?.(value)
      waiting.delete(id)
    })
    const ask = (order: Order) =>
      Effect.promise(() =>
        new Promise<unknown>((resolve) => {
          waiting.set(++ids, resolve)
          child.send({ id: ids, order })
        })
      )
    return {
      url,
      tell: (order) => Effect.asVoid(ask(order)),
      // Answered to this order only.
      requests: Effect.map(ask("requests"), (value) => value as ReadonlyArray<Request>)
    }
  })

/** A client with the library's defaults, but for these. */
export const client = (
  { url }: Pick<Simulator, "url">,
  options: Omit<Claude.Options, "apiKey" | "baseURL"> = {}
): Effect.Effect<Claude.Claude["Service"], ClaudeError.ClaudeFatalError, Scope.Scope> =>
  Effect.map(
    Layer.build(Claude.layer({
      apiKey: Redacted.make("sk-bench"),
      baseURL: url,
      defaults: { model: "claude-sonnet-4-6", max_tokens: 1024 },
      ...options
    })),
    Context.get(Claude.Claude)
  )
