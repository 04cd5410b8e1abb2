/**
 * A tenant's few cents: calls go through, events tell when much is spent, then a call is refused before it is sent.
 * Run it with `node examples/61-budget.ts`; with ANTHROPIC_API_KEY in the environment its budgets bound what it spends.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Layer, Logger, References, Stream } from "effect"
import { Claude, Pricing } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region budget
const layer = Claude.layerConfigWith({
  budget: { name: "daily", usd: 0.03, window: "1 day", per: "tenant", tenants: { globex: 0.1 }, warnAt: [0.5, 0.75] }
})

const textOrReason = (request: Claude.MessageRequest) =>
  Claude.text(request).pipe(
    Effect.catchReason("ClaudeFatalError", "BudgetExceeded", ({ limit, needed, spent }, { retryAfter }) =>
      Effect.succeed(
        `Not sent: it may cost ${usd(needed)}, and ${usd(spent)} of ${usd(limit)} are spent. Again ${when(retryAfter)}.`
      ))
  )
// #endregion

// #region usage
const report = Claude.usage.pipe(
  Stream.runForEach(({ cost, day, inputTokens, model, outputTokens, requests, tenant }) =>
    Console.log(columns(day, tenant, model, requests, inputTokens, outputTokens, usd(cost)))
  )
)
// #endregion

// #region pricing
const layerContract = Layer.unwrap(
  Effect.map(
    Pricing.fromFile(`${import.meta.dirname}/support/prices.json`),
    (pricing) => Claude.layerConfigWith({ pricing, budget: { usd: 0.02, window: "1 day" } })
  )
)
// #endregion

const explain = (topic: string): Claude.MessageRequest => ({
  model: "claude-opus-5-5",
  max_tokens: 600,
  prompt: `Explain ${topic} to a child, in about 250 words of plain text.`
})

const calls = [
  ["acme", ["rain", "tides", "thunder", "wind"]],
  ["globex", ["wind"]]
] as const

const program = Effect.gen(function*() {
  for (const [tenant, topics] of calls) {
    yield* Console.log(styleText("bold", tenant))
    for (const topic of topics) {
      const text = yield* textOrReason(explain(topic)).pipe(Claude.withPolicy({ tenant }))
      yield* Console.log(`${topic.padEnd(9)}${text.startsWith("Not sent") ? text : firstWords(text)}`)
    }
    yield* Console.log("")
  }
  yield* Console.log(styleText("bold", columns("day", "tenant", "model", "requests", "in", "out", "cost")))
  yield* report
})

// What the same answer costs at prices of one's own.
const contract = Effect.gen(function*() {
  const { cost } = yield* Claude.message(explain("snow"))
  yield* Console.log(`\nAt the prices of a file (${cost?.pricingVersion}) one more call cost ${usd(cost?.amount)}.`)
})

const usd = (amount: number | undefined) => amount === undefined ? "an unknown price" : `$${amount.toFixed(4)}`

const when = (time: Duration.Duration | undefined) =>
  time === undefined
    ? "if it is smaller"
    : `in ${Duration.format(Duration.minutes(Math.ceil(Duration.toMinutes(time))))}`

const firstWords = (text: string) => `${text.replaceAll(/\s+/g, " ").slice(0, 69)}…`

const columns = (day: string, tenant: string, model: string, ...numbers: ReadonlyArray<string | number>) =>
  day.padEnd(12) + tenant.padEnd(8) + model.padEnd(17) + numbers.map((number) => String(number).padStart(10)).join("")

// A budget tells of itself in logs, with its facts as annotations.
const logger = Logger.make(({ fiber, message }) => {
  const { "claude.tenant": tenant, fraction, limit, spent } = fiber.getRef(References.CurrentLogAnnotations)
  if (String(message) !== "claude.budget.threshold") return
  const part = `${Number(fraction) * 100}% of its ${usd(Number(limit))}`
  console.log(styleText("yellow", `! ${tenant} has spent ${part}: ${usd(Number(spent))} so far`))
})

const scripted = [
  "High above you float billions of drops, each of them too small to fall. When they meet and grow, down they come.",
  "The Moon pulls at the sea, and the sea leans a little towards it. As the Earth turns, we pass under the bulge.",
  "A lightning bolt heats the air so fast that the air claps. You see the flash first, since light outruns sound.",
  "Warm air rises, cold air slides in below it, and we feel it pass. That is all that the wind is: air in a hurry.",
  "High up it is so cold that drops become stars of ice, each with six arms, since water likes to hold six hands."
].map((text) => Answer.text(text, { usage: { input_tokens: 28, output_tokens: 390 }, delay: "150 millis" }))

program.pipe(
  Effect.provide(layer),
  Effect.andThen(Effect.provide(contract, layerContract)),
  Effect.provide(Layer.mergeAll(Api.layer(scripted), Logger.layer([logger]))),
  NodeRuntime.runMain
)
