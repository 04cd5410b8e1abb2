/**
 * A prompt lives in a file, in two versions that share the traffic; a better one is released, and taken back, without a deploy.
 * Run it with `node examples/54-prompts-ab.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, FileSystem, Layer, Logger, Schema, Tracer } from "effect"
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
      system: You answer customers of an umbrella shop, warmly, in one sentence.
      prompt: "{{customer}} asks: {{question}}"
`

const customers = ["Ann", "Ben", "Cleo", "Dora", "Emil", "Finn"]

// What a backend would be asked: calls by the version of their prompt.
const versions: Array<string> = []
const tracer = Tracer.make({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    const end = span.end.bind(span)
    span.end = (time, exit) => {
      const version = span.attributes.get("gen_ai.prompt.version")
      if (version !== undefined) versions.push(String(version))
      end(time, exit)
    }
    return span
  }
})

const round = (title: string) =>
  Effect.gen(function*() {
    versions.length = 0
    yield* Console.log(styleText("bold", title))
    for (const customer of customers) {
      const text = yield* reply(customer, "Do you mend umbrellas?")
      yield* Console.log(`${customer.padEnd(6)} v${versions.at(-1)}  ${text.slice(0, 70)}`)
    }
    const share = versions.filter((version) => version === "2").length
    yield* Console.log(styleText("dim", `${share} of ${versions.length} by version 2\n`))
  })

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = `${yield* fs.makeTempDirectoryScoped()}/reply.yaml`
  yield* fs.writeFileString(path, file("{ 1: 50, 2: 50 }"))
  yield* Effect.gen(function*() {
    yield* round("Half of the customers get the new version")
    yield* fs.writeFileString(path, file("{ 2: 100 }"))
    yield* Prompts.reload
    yield* round("It is better: all get it, by a change of the file")
    yield* fs.writeFileString(path, file("{ 1: 100 }"))
    yield* Prompts.reload
    yield* round("It is not, after all: back")
    yield* fs.writeFileString(path, file("{ 3: 100 }"))
    const problem = yield* Effect.flip(Prompts.reload)
    yield* Console.log(
      `${styleText("yellow", "A file that is wrong changes nothing:")} ${problem.message.replace(path, "reply.yaml")}`
    )
  }).pipe(Effect.provide(prompts(path)))
})

const answers = ({ body }: { readonly body: { readonly model?: string | undefined } }) =>
  Answer.text(
    body.model?.includes("sonnet") ? "With pleasure: bring it in, whatever the storm did." : "Yes, we mend them."
  )

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
