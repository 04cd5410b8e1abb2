/**
 * A prompt lives in a file, in two versions that share the traffic. Their spans tell them apart: how fast, how dear, how good.
 * The better one is released, and taken back, without a deploy.
 * Run it with `node examples/54-prompts-ab.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Duration, Effect, FileSystem, Layer, Logger, Option, Schedule, Schema, Tracer } from "effect"
import { Claude } from "effect-claude"
import { Prompts } from "effect-claude/prompts"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region prompts
const Reply = Prompts.define("reply", {
  variables: Schema.Struct({ customer: Schema.NonEmptyString, question: Schema.String })
})

// The same customer gets the same version, and its call's span says which.
const reply = (customer: string, question: string) =>
  Effect.flatMap(Reply.render({ customer, question }, { key: customer }), Claude.text)

const prompts = (path: string) => Prompts.layerFiles({ path, prompts: [Reply], watch: "200 millis" })
// #endregion

const file = (weights: string) => `
reply:
  latest: 1
  weights: ${weights}
  versions:
    1:
      model: claude-haiku-5-5
      max_tokens: 100
      system: You answer customers of an umbrella shop, in one sentence.
      prompt: "{{customer}} asks: {{question}}"
    2:
      model: claude-sonnet-5-5
      max_tokens: 100
      system: You answer customers of an umbrella shop, in one sentence that names the price, $12 for any repair.
      prompt: "{{customer}} asks: {{question}}"
`

const customers = ["Ann", "Ben", "Cleo", "Dora", "Emil", "Finn"]

const questions = ["Do you mend umbrellas?", "Can you fix a rib?", "Is a torn one lost?", "Mine is bent. And now?"]

// -----------------------------------------------------------------------------
// what a backend would be asked
// -----------------------------------------------------------------------------

/** The calls of a round, as a backend receives them. */
const calls: Array<Tracer.NativeSpan> = []

const tracer = Tracer.make({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    if (options.name.startsWith("chat ")) calls.push(span)
    return span
  }
})

const versionOf = (call: Tracer.NativeSpan) => String(call.attributes.get("gen_ai.prompt.version"))

const seconds = ({ status }: Tracer.NativeSpan) =>
  status._tag === "Ended" ? Number(status.endTime - status.startTime) / 1e9 : Number.NaN

/** Whether the answer was any good only the shop knows, so it says so on its own span, around the call. */
const isGood = ({ parent }: Tracer.NativeSpan) =>
  Option.exists(parent, (span) => span._tag === "Span" && span.attributes.get("reply.names_price") === true)

const table = Effect.suspend(() => {
  const rows = Array.from(Map.groupBy(calls, versionOf)).toSorted().map(([version, calls]) => {
    const times = calls.map(seconds).toSorted((a, b) => a - b)
    const cost = calls.reduce((sum, call) => sum + Number(call.attributes.get("claude.cost.amount")), 0)
    const good = calls.filter(isGood).length
    return [
      version,
      String(calls.length),
      `${times[times.length >> 1]?.toFixed(2)} s`,
      `$${(1000 * cost / calls.length).toFixed(2)}`,
      `${Math.round(100 * good / calls.length)} %`
    ]
  })
  const head = ["version", "calls", "median", "cost of 1000", "names the price"]
  const lines = [head, ...rows].map((row) => row.map((cell, index) => cell.padStart(head[index]!.length)).join("   "))
  return Console.log(`\n${lines.join("\n")}\n`)
})

// -----------------------------------------------------------------------------
// the shop
// -----------------------------------------------------------------------------

const ask = (customer: string, question: string) =>
  reply(customer, question).pipe(
    Effect.tap((text) => Effect.annotateCurrentSpan("reply.names_price", text.includes("$12"))),
    Effect.withSpan("reply")
  )

const round = (title: string) =>
  Effect.gen(function*() {
    calls.length = 0
    yield* Console.log(styleText("bold", title))
    for (const customer of customers) {
      const text = yield* ask(customer, questions[0]!)
      yield* Console.log(`${customer.padEnd(6)} v${versionOf(calls.at(-1)!)}  ${text.slice(0, 70)}`)
    }
    const share = calls.filter((call) => versionOf(call) === "2").length
    yield* Console.log(styleText("dim", `${share} of ${calls.length} by version 2`))
  })

/** All that the customers ask besides. */
const traffic = Effect.forEach(
  customers.flatMap((customer) => questions.slice(1).map((question) => [customer, question] as const)),
  ([customer, question]) => ask(customer, question),
  { concurrency: 6 }
)

/** Whoever is served the new version is served it without having asked for it. */
const untilServed = (version: string) =>
  Prompts.list.pipe(
    Effect.repeat({
      schedule: Schedule.spaced("10 millis"),
      while: ([prompt]) => prompt?.release.weights?.[version] !== 100
    }),
    Effect.timed,
    Effect.flatMap(([took]) =>
      Console.log(styleText("dim", `The file has changed; ${Math.round(Duration.toMillis(took))} ms later:`))
    )
  )

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = `${yield* fs.makeTempDirectoryScoped()}/reply.yaml`
  const write = (weights: string) => fs.writeFileString(path, file(weights))
  yield* write("{ 1: 50, 2: 50 }")
  yield* Effect.gen(function*() {
    yield* round("Half of the customers get the new version")
    yield* traffic
    yield* table
    yield* write("{ 2: 100 }")
    yield* untilServed("2")
    yield* round("It says what people want to know: all get it")
    yield* write("{ 1: 100 }")
    yield* Prompts.reload
    yield* round("\nIt is too dear, after all: back, at once")
    yield* write("{ 3: 100 }")
    const problem = yield* Effect.flip(Prompts.reload)
    yield* Console.log(
      `\n${styleText("yellow", "A file that is wrong changes nothing:")} ${problem.message.replace(path, "reply.yaml")}`
    )
  }).pipe(Effect.provide(prompts(path)))
})

const answers = ({ body }: { readonly body: { readonly model?: string | undefined } }) =>
  body.model?.includes("sonnet")
    ? Answer.text("With pleasure: any repair is $12, whatever the storm did.", {
      firstContent: "180 millis",
      usage: { input_tokens: 48, output_tokens: 19 }
    })
    : Answer.text("Yes, we mend them.", { firstContent: "60 millis", usage: { input_tokens: 36, output_tokens: 8 } })

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(
    Claude.layerConfig.pipe(Layer.provideMerge(Api.layer(answers))),
    NodeServices.layer,
    Layer.succeed(Tracer.Tracer, tracer),
    Logger.layer([])
  )),
  NodeRuntime.runMain
)
