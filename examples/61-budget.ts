/**
 * A tenant's few cents: calls go through, a warning comes when half is spent, and then a call is refused before it is sent.
 * Run it with `node examples/61-budget.ts`; with ANTHROPIC_API_KEY in the environment its own budgets bound what it spends.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Layer, Logger, References, Stream } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region budget
const layer = Claude.layerConfigWith({
  budgets: [{ name: "daily", usd: 0.03, window: "1 day", per: "tenant", tenants: { globex: 0.1 }, warnAt: [0.5] }]
})

const textOrReason = (request: Claude.MessageRequest) =>
  Claude.text(request).pipe(
    Effect.catchReason("ClaudeFatalError", "BudgetExceeded", ({ limit, needed, spent }, { retryAfter }) =>
      Effect.succeed(
        `Not sent: up to ${usd(needed)} more, and ${usd(spent)} of ${usd(limit)} are spent. ` +
          (retryAfter === undefined ? "It never fits." : `Again in ${hours(retryAfter)}.`)
      ))
  )
// #endregion

const explain = (topic: string) =>
  textOrReason({
    model: "claude-opus-5-5",
    max_tokens: 600,
    prompt: `Explain ${topic} to a child, in about 250 words of plain text.`
  })

const program = Effect.gen(function*() {
  for (const [tenant, topics] of [["acme", ["rain", "tides", "thunder", "wind"]], ["globex", ["wind"]]] as const) {
    yield* Console.log(styleText("bold", tenant))
    for (const topic of topics) {
      const text = yield* explain(topic).pipe(Claude.withPolicy({ tenant }))
      yield* Console.log(`${topic.padEnd(8)}${text.length > 100 ? `${text.slice(0, 69)}…` : text}`)
    }
    yield* Console.log("")
  }
  yield* Console.log(styleText("bold", columns("tenant", "model", "requests", "in", "out", "cost")))
  yield* Claude.usage.pipe(
    Stream.runForEach(({ cost, inputTokens, model, outputTokens, requests, tenant }) =>
      Console.log(columns(tenant, model, requests, inputTokens, outputTokens, usd(cost)))
    )
  )
})

const usd = (amount: number) => `$${amount.toFixed(4)}`

const hours = (time: Duration.Duration) => Duration.format(Duration.minutes(Math.ceil(Duration.toMinutes(time))))

const columns = (tenant: string, model: string, ...numbers: ReadonlyArray<string | number>) =>
  tenant.padEnd(9) + model.padEnd(17) + numbers.map((number) => String(number).padStart(10)).join("")

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
  "Warm air rises, cold air slides in below it, and we feel it pass. That is all that the wind is: air in a hurry."
].map((text) => Answer.text(text, { usage: { input_tokens: 28, output_tokens: 390 }, delay: "150 millis" }))

program.pipe(
  Effect.provide(Layer.mergeAll(
    layer.pipe(Layer.provide(Api.layer(scripted))),
    Logger.layer([logger])
  )),
  NodeRuntime.runMain
)
