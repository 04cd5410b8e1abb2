/** Answers as the API gave them: guards change their texts and nothing else, the same whole or streamed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Claude } from "effect-claude"
import { Accumulator } from "../../src/decode/Accumulator.ts"
import { type Decoder, decoderFor } from "../../src/decode/Event.ts"
import { Guard, type Pii } from "../../src/guards/index.ts"
import { readRecorded, recorded } from "../ai/support.ts"
import { streams } from "../decode/streams.ts"

type Events = ReadonlyArray<Claude.StreamEvent>

/** The events of a stream, as many at once as came in one read. */
const readsOf = (text: string, size: number): ReadonlyArray<Events> => {
  const decoder = decoderFor("text/event-stream") as Decoder
  const bytes = Buffer.from(text)
  const reads: Array<Events> = []
  for (let at = 0; at < bytes.length; at += size) {
    const decoded = decoder.push([bytes.subarray(at, at + size)])
    reads.push(decoded as Events)
  }
  return reads
}

const folded = (events: Events) => {
  const accumulator = new Accumulator()
  accumulator.add(events as never)
  if (accumulator.failure !== undefined) throw accumulator.failure
  return JSON.parse(JSON.stringify(accumulator.message()))
}

const guardedBy = (reads: ReadonlyArray<Events>, output: ReadonlyArray<Guard.StreamGuard>) =>
  Effect.provide(
    Stream.runCollect(Claude.stream({ prompt: "Hi" })),
    Guard.layer({ output }).pipe(
      Layer.provide(Layer.succeed(
        Claude.Claude,
        { stream: () => Stream.flattenIterable(Stream.fromIterable(reads)) } as unknown as Claude.Claude["Service"]
      ))
    )
  )

/** Whatever the text is, some of it changes. */
const noE: Guard.StreamGuard = {
  name: "no e",
  check: ({ texts }) => Effect.succeed(Guard.change(texts.map((text) => text.replaceAll("e", "_")))),
  step: () => ({ next: (text) => text.replaceAll("e", "_"), end: () => "", hasChanged: () => true })
}

const texts: ReadonlyArray<readonly [string, string]> = [
  ...recorded.map((name) => [name, readRecorded(name)] as const),
  ...Object.entries(streams).map(([name, { events }]) =>
    [name, events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")] as const
  )
]

describe("a recorded answer", () => {
  it.effect.each(texts)(
    "passes as it is, and is changed the same whole or streamed: %s",
    ([, text]) =>
      Effect.gen(function*() {
        const all = readsOf(text, 1_000_000).flat()
        const given = yield* Effect.option(Effect.try({ try: () => folded(all), catch: () => "none" }))
        if (given._tag === "None") return
        for (const size of [23, 400, 1_000_000]) {
          const reads = readsOf(text, size)
          const passing = [
            Guard.noPattern(/never to be said/, "never"),
            Guard.maxChars(1_000_000),
            Guard.restorePii(empty)
          ]
          const same = yield* guardedBy(reads, passing)
          assert.deepStrictEqual(folded(same), given.value)
          // Each block begins and ends where it did.
          const edges = (events: Events) =>
            events.flatMap((event) =>
              event.type === "content_block_delta"
                ? []
                // What a text begins with may be held back.
                : [JSON.stringify(event).replace(/"type":"text","text":"[^"]*"/, "")]
            )
          assert.deepStrictEqual(edges(same), edges(all))
          // Arguments that were cut are looked at as a text, with the names of their fields.
          if (text.includes("\"max_tokens\"") && text.includes("input_json_delta")) continue
          const expected = yield* Effect.succeed(given.value).pipe(Guard.output(Guard.redactPii(), noE))
          assert.deepStrictEqual(folded(yield* guardedBy(reads, [Guard.redactPii(), noE])), expected)
        }
      })
  )
})

const empty: Pii.Vault = { hide: (text: string) => text, restore: (text: string) => text }
