/**
 * Plays a response plan over a socket with the machine's timers. Nothing of it outlives the socket.
 *
 * It heeds back-pressure: a client that does not read holds it at what the kernel buffers, and no more is made.
 */
import type { ServerResponse } from "node:http"
import type * as ResponsePlan from "./ResponsePlan.ts"

/** What the server wants to know of it. @category models @since 0.1.0 */
export interface Listener {
  readonly onHead: (status: number) => void
  readonly onBytes: (count: number) => void
  readonly onCut: () => void
}

/** A response under way. @category models @since 0.1.0 */
export interface Playback {
  /** The share of the body that was handed to the connection, from 0 to 1. */
  readonly progress: () => number
  /** Forgets what is left to send; the connection stays as it is. */
  readonly stop: () => void
}

/** Writes are joined up to this size. */
const batchBytes = 65_536

/** A timer that is set later than this fires at once. */
const maxTimeout = 2 ** 31 - 1

/** @category constructors @since 0.1.0 */
export const play = (
  response: ServerResponse,
  plan: ResponsePlan.ResponsePlan,
  apiHeaders: Readonly<Record<string, string>>,
  listener: Listener
): Playback => {
  const { steps } = plan
  const total = steps.reduce((count, step) => step._tag === "Write" ? count + 1 : count, 0)
  let written = 0
  let at = 0
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  let stopped = false

  const batch = (first: Uint8Array): Uint8Array => {
    const parts = [first]
    let size = first.length
    written++
    for (let next = steps[at]; next?._tag === "Write" && size < batchBytes; next = steps[++at]) {
      parts.push(next.bytes)
      size += next.bytes.length
      written++
    }
    listener.onBytes(size)
    return parts.length === 1 ? first : Buffer.concat(parts, size)
  }

  const next = (): void => {
    for (;;) {
      if (stopped || response.destroyed) return
      const step = steps[at++]
      switch (step?._tag) {
        case "Pause":
          if (step.millis > maxTimeout) return
          if (step.millis > 0) timer = setTimeout(next, step.millis)
          else immediate = setImmediate(next)
          return
        case "Head":
          response.writeHead(step.status, step.fromApi ? { ...apiHeaders, ...step.headers } : step.headers)
          if (steps[at]?._tag !== "Write") response.flushHeaders()
          listener.onHead(step.status)
          break
        case "Write": {
          const bytes = batch(step.bytes)
          if (steps[at]?._tag === "End") {
            response.end(bytes)
            return
          }
          if (!response.write(bytes)) {
            response.once("drain", next)
            return
          }
          break
        }
        case "Repeat": {
          const send = () => {
            if (response.writableNeedDrain) return
            listener.onBytes(step.bytes.length)
            response.write(step.bytes)
          }
          send()
          timer = setInterval(send, step.everyMillis)
          return
        }
        case "Reset":
          listener.onCut()
          cut(response, step.by)
          return
        case "End":
          response.end()
          return
        default:
          // Hang: the client decides when it has waited enough.
          return
      }
    }
  }

  next()
  return {
    progress: () => total === 0 ? 0 : written / total,
    stop: () => {
      stopped = true
      clearTimeout(timer)
      clearImmediate(immediate)
      response.off("drain", next)
    }
  }
}

/** A reset where the transport has one: under TLS the connection just closes. */
const cut = ({ socket }: ServerResponse, by: "reset" | "close"): void => {
  if (socket === null) return
  if (by === "close" || "encrypted" in socket) socket.destroy()
  else socket.resetAndDestroy()
}
