/**
 * What every contender can do. Each measurement opens it in a fresh process; only `message` and `stream` are inside the
 * measured time, and `flush`, since telemetry that still waits to be exported is part of a call's cost.
 */
export interface Options {
  readonly baseURL: string
  /** As many calls are open at once. */
  readonly concurrency: number
  /** How `message` reads its answer: one JSON body, or a stream that it folds. */
  readonly wire: "sse" | "json"
}

export interface Contender {
  /** One short call, answered whole: its text, or its tool's input as JSON. */
  readonly message: () => Promise<string>
  /** One streamed call, read to its end: the characters of text that arrived. */
  readonly stream: () => Promise<number>
  /** Exports what telemetry has gathered. */
  readonly flush?: () => Promise<void>
  /** How many spans were exported: proof that telemetry was on. */
  readonly spans?: () => number
  readonly close?: () => Promise<void>
}

export type Open = (options: Options) => Contender

/** The key that every contender sends. */
export const apiKey = "sk-bench"
