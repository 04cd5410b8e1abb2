import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Logger, Stream, Tracer } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import type { OtlpProtocol } from "effect-claude/telemetry"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { existsSync, readFileSync } from "node:fs"
import * as Contract from "./contract.ts"
import type { Attributed, AttributeValue, Received, ReceivedPoint, ReceivedSpan } from "./receiver.ts"
import { ask, capture, type Captured, layerClaude, play, received, rootOf, scenarios, secrets } from "./scenarios.ts"

const captures = new Map<OtlpProtocol, Captured>()

beforeAll(async () => {
  for (const protocol of ["protobuf", "json"] as const) {
    captures.set(protocol, await Effect.runPromise(Effect.scoped(capture(protocol))))
  }
})

// -----------------------------------------------------------------------------
// rows against what came
// -----------------------------------------------------------------------------

const conforms = (type: Contract.Type, wire: string, value: AttributeValue | undefined): boolean => {
  switch (type) {
    case "string[]":
      return wire === "array" && Array.isArray(value) && value.every((item) => typeof item === "string")
    case "structured":
      return wire === "array" && Array.isArray(value) &&
        value.every((item) => typeof item === "object" && item !== null)
    default:
      return wire === type
  }
}

const admits = (oneOf: ReadonlyArray<string> | RegExp, value: AttributeValue | undefined): boolean =>
  oneOf instanceof RegExp ? oneOf.test(String(value)) : oneOf.includes(String(value))

/** What of attributes is not as a row says. */
const mismatches = (where: string, rows: Contract.Attributes, { attributes, types }: Attributed): Array<string> => {
  const found = Object.entries(attributes).flatMap(([name, value]) => {
    const row = rows[name] ?? (name.startsWith("claude.tag.") ? rows["claude.tag"] : undefined)
    if (row === undefined) return [`${where} has ${name}, which no row names`]
    const wrong = []
    if (!conforms(row.type, types[name] ?? "", value)) {
      wrong.push(`${where}: ${name} is ${types[name]}, not ${row.type}`)
    }
    if (row.oneOf !== undefined && !admits(row.oneOf, value)) wrong.push(`${where}: ${name} is ${String(value)}`)
    return wrong
  })
  const missing = Object.entries(rows).filter(([name, row]) => row.always && !(name in attributes))
  return [...found, ...missing.map(([name]) => `${where} lacks ${name}`)]
}

const rowOf = (span: ReceivedSpan) => Contract.spans.find((row) => row.name.test(span.name))
const isOurs = (span: ReceivedSpan) => rowOf(span) !== undefined
const isCall = (span: ReceivedSpan) => /^(chat|count_tokens) /.test(span.name)
const isChat = (span: ReceivedSpan) => span.name.startsWith("chat ")
const isAttempt = (span: ReceivedSpan) => span.name === "POST"
const isWait = (span: ReceivedSpan) => span.name.startsWith("claude.wait ")

const seconds = (nanos: bigint): number => Number(nanos) / 1e9
const lasted = (span: ReceivedSpan): number => seconds(span.end - span.start)
const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)
const numberOf = (span: Attributed, name: string): number => Number(span.attributes[name] ?? 0)

const childrenOf = (spans: ReadonlyArray<ReceivedSpan>, parent: ReceivedSpan) =>
  spans.filter((span) => span.parentSpanId === parent.spanId && span.traceId === parent.traceId)
    .toSorted((a, b) => Number(a.start - b.start))

const callsOf = (spans: ReadonlyArray<ReceivedSpan>, scenario: string): ReadonlyArray<ReceivedSpan> => {
  const root = spans.find((span) => span.name === rootOf(scenario))
  assert.isDefined(root, scenario)
  return childrenOf(spans, root).filter(isCall)
}

const onlyCall = (spans: ReadonlyArray<ReceivedSpan>, scenario: string): ReceivedSpan => {
  const calls = callsOf(spans, scenario)
  assert.strictEqual(calls.length, 1, scenario)
  return calls[0]!
}

const pointsOf = ({ metrics }: Received, name: string): ReadonlyArray<ReceivedPoint> =>
  metrics.find((metric) => metric.name === name)?.points ?? []

const total = (received: Received, name: string, of: "value" | "count" | "sum", labels: Record<string, unknown> = {}) =>
  sum(
    pointsOf(received, name)
      .filter((point) => Object.entries(labels).every(([label, value]) => point.attributes[label] === value))
      .map((point) => point[of] ?? 0)
  )

for (const protocol of ["protobuf", "json"] as const) {
  const now = () => captures.get(protocol)!
  const all = () => now().received

  describe(`spans over ${protocol}`, () => {
    it("are those of the table, with its attributes and events and no others", () => {
      const { spans } = all()
      const wrong = spans.filter(isOurs).flatMap((span) => {
        const row = rowOf(span)!
        const events = span.events.flatMap((event) => {
          const attributes = row.events[event.name]
          return attributes === undefined
            ? [`${span.name} has an event ${event.name}`]
            : mismatches(`${span.name}, ${event.name}`, attributes, event)
        })
        const kind = span.kind === row.kind ? [] : [`${span.name} is ${span.kind}`]
        return [...kind, ...events, ...mismatches(span.name, row.attributes, span)]
      })
      assert.deepStrictEqual([...new Set(wrong)], [])
      const unknown = spans.filter((span) => !isOurs(span) && !span.name.startsWith("scenario "))
      assert.deepStrictEqual(unknown.map((span) => span.name), [])
    })

    it("show every row of the table", () => {
      const { spans } = all()
      for (const row of Contract.spans) {
        const shown = spans.filter((span) => row.name.test(span.name))
        const names = new Set(shown.flatMap((span) => Object.keys(span.attributes)))
        const absent = Object.entries(row.attributes).filter(([name, { optIn }]) =>
          !optIn && !names.has(name === "claude.tag" ? "claude.tag.feature" : name)
        )
        assert.deepStrictEqual(absent.map(([name]) => name), [], String(row.name))
        const events = new Set(shown.flatMap((span) => span.events.map((event) => event.name)))
        assert.deepStrictEqual(Object.keys(row.events).filter((name) => !events.has(name)), [], String(row.name))
      }
    })

    it("hang together: calls below the caller, attempts and waits below their call", () => {
      const { spans } = all()
      for (const span of spans.filter(isOurs)) {
        const parent = spans.find((other) => other.spanId === span.parentSpanId && other.traceId === span.traceId)
        assert.isDefined(parent, span.name)
        assert.strictEqual(isCall(parent), rowOf(span)!.parent === "call", `${span.name} below ${parent.name}`)
      }
      assert.strictEqual(new Set(spans.map((span) => span.spanId)).size, spans.length)
    })

    it("have the scope and the schema of the library", () => {
      for (const { scope } of [...all().spans.filter(isOurs), ...all().metrics, ...all().logs]) {
        assert.strictEqual(scope.name, "effect-claude")
        assert.strictEqual(scope.schemaUrl, Contract.schemaUrl)
      }
    })

    for (const scenario of scenarios) {
      it(`tell of ${scenario.name}`, () => {
        const { spans } = all()
        const told = callsOf(spans, scenario.name).map((call): unknown => {
          const attempts = childrenOf(spans, call).filter(isAttempt)
          const waits = childrenOf(spans, call).filter(isWait)
          assert.strictEqual(call.attributes["claude.attempt.count"], attempts.length)
          return {
            outcome: call.attributes["claude.outcome"],
            error: call.attributes["error.type"],
            attempts: attempts.length,
            waits: waits.map((wait) => wait.attributes["claude.wait.kind"])
          }
        })
        assert.deepStrictEqual(
          told,
          scenario.calls.map(({ attempts, error, outcome, waits = [] }) => ({ outcome, error, attempts, waits }))
        )
      })
    }

    it("have a status where they failed, and none where they succeeded or were given up", () => {
      for (const span of all().spans.filter(isOurs)) {
        const error = span.attributes["error.type"]
        assert.strictEqual(span.status, error === undefined ? "unset" : "error", span.name)
        const outcome = span.attributes["claude.outcome"]
        if (outcome !== undefined) {
          assert.strictEqual(error !== undefined, outcome === "error" || outcome === "rejected", String(outcome))
        }
        assert.strictEqual(span.events.some((event) => event.name === "exception"), error !== undefined, span.name)
      }
    })

    it("have the last attempt's error.type, and that of retries on their attempts alone", () => {
      const { spans } = all()
      for (const call of spans.filter(isCall)) {
        const errors = childrenOf(spans, call).filter(isAttempt).map((attempt) => attempt.attributes["error.type"])
        if (errors.length === 0 || call.attributes["claude.outcome"] === "cancelled") continue
        assert.strictEqual(errors.at(-1), call.attributes["error.type"], call.name)
        // All but the last have failed, else there were none after them.
        if (call.attributes["claude.outcome"] === "success") {
          assert.isTrue(errors.slice(0, -1).every((error) => error !== undefined))
        }
      }
    })

    it("add up: attempts and waits lie within their call, one after another", () => {
      const { spans } = all()
      for (const call of spans.filter(isCall)) {
        const children = childrenOf(spans, call)
        let free = call.start
        for (const child of children) {
          assert.isTrue(child.start >= free, `${child.name} begins before the last ended`)
          assert.isTrue(child.end >= child.start && child.end <= call.end, child.name)
          free = child.end
        }
        const waited = children.filter(isWait).map(lasted)
        // A wait of up to a millisecond has no span, but counts.
        assert.closeTo(numberOf(call, "claude.wait.total"), sum(waited), 0.001 * (children.length + 1))
        assert.isTrue(sum(children.map(lasted)) <= lasted(call))
        const attempts = children.filter(isAttempt)
        assert.deepStrictEqual(
          attempts.map((
            { attributes }
          ) => [attributes["claude.attempt.number"], attributes["http.request.resend_count"]]),
          attempts.map((_, index) => [index + 1, index === 0 ? undefined : index])
        )
        for (const event of call.events) assert.isTrue(event.time >= call.start && event.time <= call.end, event.name)
        const retries = call.events.filter((event) => event.name === "claude.retry")
        const backoffs = children.filter((child) => child.name === "claude.wait backoff")
        assert.strictEqual(retries.length, backoffs.length)
        for (const [index, wait] of backoffs.entries()) {
          const delay = numberOf(retries[index]!, "delay")
          assert.strictEqual(retries[index]!.time, wait.start)
          if (wait.attributes["claude.wait.outcome"] === "granted") assert.isTrue(lasted(wait) >= delay - 0.002)
          else assert.isTrue(lasted(wait) < delay)
        }
      }
    })

    it("say when the first content came", () => {
      for (const call of all().spans.filter(isChat)) {
        const first = call.events.filter((event) => event.name === "claude.first_content")
        assert.isAtMost(first.length, 1)
        const told = call.attributes["gen_ai.response.time_to_first_chunk"]
        const streamed = call.attributes["gen_ai.request.stream"] === true
        assert.strictEqual(told !== undefined, streamed && first.length === 1)
        if (told !== undefined) assert.closeTo(Number(told), seconds(first[0]!.time - call.start), 0.003)
      }
    })

    it("take the server's hint for the retry's delay", () => {
      const [first] = onlyCall(all().spans, "retries").events
      assert.deepStrictEqual(first?.attributes, { attempt: 1, reason: "RateLimited", delay: 0.06, retry_after: 0.06 })
    })

    it("count the cache into the input tokens, and thinking into the output", () => {
      const { attributes } = onlyCall(all().spans, "a message with a cache and thinking")
      const expected = {
        "gen_ai.usage.input_tokens": 2310,
        "gen_ai.usage.cache_read.input_tokens": 2000,
        "gen_ai.usage.cache_write.input_tokens": 300,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 100,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 200
      }
      for (const [name, value] of Object.entries(expected)) assert.strictEqual(attributes[name], value, name)
    })

    it("have the API's reason to stop, or error where one was expected", () => {
      const reasons = (scenario: string) => {
        const { attributes } = onlyCall(all().spans, scenario)
        return [attributes["gen_ai.response.finish_reasons"], attributes["anthropic.message.stop_reason"]]
      }
      assert.deepStrictEqual(reasons("a stream"), [["end_turn"], "end_turn"])
      assert.deepStrictEqual(reasons("a tool call"), [["tool_use"], "tool_use"])
      assert.deepStrictEqual(reasons("a refusal"), [["refusal"], "refusal"])
      for (const cut of ["a message that is cut off", "a stream that is left", "a stream whose reader fails"]) {
        assert.deepStrictEqual(reasons(cut), [["error"], undefined], cut)
      }
      for (const never of ["a bad request", "a request that is given up", "no response"]) {
        assert.deepStrictEqual(reasons(never), [undefined, undefined], never)
      }
    })

    it("say what was asked for", () => {
      const { spans } = all()
      const value = (scenario: string, name: string) => onlyCall(spans, scenario).attributes[name]
      assert.strictEqual(value("a stream", "gen_ai.request.stream"), true)
      assert.strictEqual(value("a message as JSON", "gen_ai.request.stream"), undefined)
      assert.strictEqual(value("an object", "gen_ai.output.type"), "json")
      assert.strictEqual(value("a stream", "gen_ai.output.type"), undefined)
      assert.strictEqual(value("a tenant's call", "claude.tenant"), "acme")
      assert.strictEqual(value("a tenant's call", "claude.tag.feature"), "search")
      assert.strictEqual(value("a tenant's call", "gen_ai.request.reasoning.level"), "high")
      assert.strictEqual(value("a tenant's call", "anthropic.request.service_tier"), "auto")
      assert.isAbove(Number(value("a token count", "anthropic.message.count_tokens.input_tokens")), 0)
      assert.strictEqual(value("a model without a price", "claude.cost.amount"), undefined)
      assert.isAbove(Number(value("a stream", "claude.cost.amount")), 0)
    })

    it("are told to the API with each request, and nothing else is", () => {
      const { received, simulator } = now()
      const attempts = received.spans.filter(isAttempt)
      const sent = simulator.entries.map(({ headers }) => headers["traceparent"])
      assert.sameMembers(sent, attempts.map((span) => `00-${span.traceId}-${span.spanId}-01`))
      for (const { headers } of simulator.entries) {
        const others = Object.keys(headers).filter((name) => /^(baggage|b3|x-b3-.*|tracestate)$/.test(name))
        assert.deepStrictEqual(others, [])
      }
      for (const entry of simulator.entries) {
        const span = attempts.find((span) => entry.headers["traceparent"]?.includes(span.spanId))!
        assert.strictEqual(span.attributes["claude.attempt.number"], entry.attempt)
        const id = span.attributes["anthropic.request.id"]
        if (id !== undefined) assert.strictEqual(id, entry.requestId)
      }
    })
  })

  describe(`metrics over ${protocol}`, () => {
    it("are those of the table: instrument, unit, buckets, labels and their values", () => {
      const { metrics } = all()
      assert.sameMembers(metrics.map((metric) => metric.name), Object.keys(Contract.metrics))
      for (const metric of metrics) {
        const row = Contract.metrics[metric.name]!
        assert.strictEqual(metric.unit, row.unit, metric.name)
        assert.isNotEmpty(metric.description)
        assert.strictEqual(metric.type, row.instrument === "counter" ? "sum" : row.instrument, metric.name)
        if (row.instrument === "counter") assert.isTrue(metric.monotonic, metric.name)
        if (row.instrument !== "gauge") assert.strictEqual(metric.temporality, "cumulative")
        const wrong = metric.points.flatMap((point) => mismatches(metric.name, row.labels, point))
        assert.deepStrictEqual([...new Set(wrong)], [])
        for (const point of metric.points) {
          if (row.buckets !== undefined) assert.deepStrictEqual(point.bounds, row.buckets)
          if (row.value !== undefined) assert.strictEqual(point.valueType, row.value, metric.name)
        }
        // One point for each set of labels.
        const sets = metric.points.map((point) => JSON.stringify(Object.entries(point.attributes).toSorted()))
        assert.strictEqual(new Set(sets).size, sets.length, metric.name)
      }
    })

    it("show every label of the table", () => {
      for (const { name, points } of all().metrics) {
        const shown = new Set(points.flatMap((point) => Object.keys(point.attributes)))
        assert.deepStrictEqual(
          Object.keys(Contract.metrics[name]!.labels).filter((label) => !shown.has(label)),
          [],
          name
        )
      }
    })

    it("have no id for a label, and call a model that nobody knows other", () => {
      const { metrics, spans } = all()
      const ids = new Set(spans.flatMap((span) => [
        span.traceId,
        span.spanId,
        span.attributes["gen_ai.response.id"],
        span.attributes["anthropic.request.id"],
        span.attributes["claude.tenant"],
        "claude-unheard-of-9"
      ]))
      ids.delete(undefined)
      const values = metrics.flatMap((metric) => metric.points.flatMap((point) => Object.values(point.attributes)))
      assert.deepStrictEqual(values.filter((value) => typeof value === "string" && ids.has(value)), [])
      assert.strictEqual(
        total(all(), "gen_ai.client.inference.duration", "count", {
          "gen_ai.request.model": "other",
          "gen_ai.response.model": "other"
        }),
        1
      )
    })

    it("have a duration for each chat, by the error.type of its span", () => {
      const received = all()
      const chats = received.spans.filter(isChat)
      const points = pointsOf(received, "gen_ai.client.inference.duration")
      for (const error of new Set(chats.map((span) => span.attributes["error.type"]))) {
        const of = chats.filter((span) => span.attributes["error.type"] === error)
        const told = points.filter((point) => point.attributes["error.type"] === error)
        assert.strictEqual(sum(told.map((point) => point.count ?? 0)), of.length, String(error))
        assert.closeTo(sum(told.map((point) => point.sum ?? 0)), sum(of.map(lasted)), 0.003 * of.length, String(error))
      }
    })

    it("count attempts as there are spans of them, by operation, outcome and error.type", () => {
      const received = all()
      const attempts = received.spans.filter(isAttempt)
      assert.strictEqual(total(received, "claude.client.attempts", "value"), attempts.length)
      assert.strictEqual(total(received, "claude.client.attempts", "value"), now().simulator.requests)
      for (const error of new Set(attempts.map((span) => span.attributes["error.type"]))) {
        assert.strictEqual(
          total(received, "claude.client.attempts", "value", { "error.type": error }),
          attempts.filter((span) => span.attributes["error.type"] === error).length,
          String(error)
        )
      }
      const counts = attempts.filter((span) => String(span.attributes["url.full"]).endsWith("count_tokens"))
      assert.strictEqual(
        total(received, "claude.client.attempts", "value", { "gen_ai.operation.name": "count_tokens" }),
        counts.length
      )
    })

    it("count tokens and money as the spans do", () => {
      const received = all()
      const chats = received.spans.filter(isChat)
      const onSpans = (name: string) => sum(chats.map((span) => numberOf(span, name)))
      for (
        const kind of ["input", "output", "cache_read.input", "cache_write.input", "reasoning.output"].map((kind) =>
          `${kind}_tokens`
        )
      ) {
        const metric = `gen_ai.client.inference.usage.${kind}`
        assert.strictEqual(total(received, metric, "value"), onSpans(`gen_ai.usage.${kind}`), kind)
        assert.isAbove(total(received, metric, "value"), 0)
        // What had no usage is there too, with nothing.
        assert.isNotEmpty(
          pointsOf(received, metric).filter((point) => point.attributes["gen_ai.token.modality"] === "unknown")
        )
        assert.strictEqual(total(received, metric, "value", { "gen_ai.token.modality": "unknown" }), 0)
      }
      const billed = chats.filter((span) => "gen_ai.usage.input_tokens" in span.attributes).length
      for (const kind of ["input_tokens", "output_tokens"]) {
        const metric = `gen_ai.client.inference.operation.${kind}`
        assert.strictEqual(total(received, metric, "sum"), onSpans(`gen_ai.usage.${kind}`))
        assert.strictEqual(total(received, metric, "count"), billed)
      }
      assert.closeTo(total(received, "claude.client.cost", "value"), onSpans("claude.cost.amount"), 1e-9)
    })

    it("count what could not be priced", () => {
      const received = all()
      const unpriced = received.spans.filter(isChat).filter((span) =>
        "gen_ai.usage.input_tokens" in span.attributes && !("claude.cost.amount" in span.attributes)
      )
      assert.strictEqual(total(received, "claude.telemetry.overflow", "value"), unpriced.length)
      assert.isAbove(unpriced.length, 0)
    })

    it("time waits and retries as the spans do", () => {
      const received = all()
      const { spans } = received
      const retries = spans.flatMap((span) => span.events.filter((event) => event.name === "claude.retry"))
      assert.strictEqual(total(received, "claude.client.retry.delay", "count"), retries.length)
      assert.closeTo(
        total(received, "claude.client.retry.delay", "sum"),
        sum(retries.map((retry) => numberOf(retry, "delay"))),
        1e-6
      )
      for (const kind of ["backoff", "concurrency"]) {
        for (const outcome of ["granted", "cancelled", "deadline"]) {
          const labels = { "claude.wait.kind": kind, "claude.wait.outcome": outcome }
          const waits = spans.filter((span) =>
            Object.entries(labels).every(([name, value]) => span.attributes[name] === value)
          )
          const count = total(received, "claude.client.wait.duration", "count", labels)
          assert.isAtLeast(count, waits.length, `${kind} ${outcome}`)
          assert.closeTo(
            total(received, "claude.client.wait.duration", "sum", labels),
            sum(waits.map(lasted)),
            0.001 * (count - waits.length) + 1e-6
          )
        }
      }
    })

    it("time chunks of streams only", () => {
      const received = all()
      const streamed = received.spans.filter((span) => "gen_ai.response.time_to_first_chunk" in span.attributes)
      const first = "gen_ai.client.inference.time_to_first_chunk"
      assert.strictEqual(total(received, first, "count"), streamed.length)
      assert.closeTo(
        total(received, first, "sum"),
        sum(streamed.map((span) => numberOf(span, "gen_ai.response.time_to_first_chunk"))),
        1e-6
      )
      assert.strictEqual(total(received, "claude.client.stream.max_gap", "count"), streamed.length)
      assert.isAbove(total(received, "gen_ai.client.inference.time_per_output_chunk", "count"), 0)
    })

    it.live("take no backoff for a gap of a stream", () =>
      Effect.gen(function*() {
        const simulator = yield* ClaudeSimulator.make()
        const answer = Answer.text(secrets.reply)
        const all = yield* received(
          protocol,
          play(simulator, {
            name: "gap",
            answers: [Answer.reset("midStream", answer), answer],
            options: { retry: RetryPolicy.make({ initial: "300 millis" }) },
            run: Claude.message(ask)
          })
        )
        const call = onlyCall(all.spans, "gap")
        assert.strictEqual(call.attributes["claude.attempt.count"], 2)
        const waited = numberOf(call, "claude.wait.total")
        assert.isBelow(total(all, "claude.client.stream.max_gap", "sum"), waited)
        assert.isBelow(total(all, "gen_ai.client.inference.time_per_output_chunk", "sum"), waited)
      }))

    it("go back to nothing where they tell of what is under way", () => {
      const gauges = all().metrics.filter((metric) => metric.type === "gauge")
      assert.lengthOf(gauges, 3)
      for (const { name, points } of gauges) {
        assert.deepStrictEqual(points.map((point) => point.value), points.map(() => 0), name)
      }
    })
  })

  describe(`logs over ${protocol}`, () => {
    it("are those of the table, with the ids of their call", () => {
      const { logs, spans } = all()
      const wrong = logs.flatMap((log) => {
        const row = Contract.logs[String(log.body)]
        if (row === undefined) return [`a log ${String(log.body)}`]
        assert.strictEqual(log.severity, row.severity)
        const call = spans.find((span) => span.spanId === log.spanId && span.traceId === log.traceId)
        if (call === undefined || !isCall(call)) return [`${String(log.body)} belongs to no call`]
        return mismatches(String(log.body), row.attributes, log)
      })
      assert.deepStrictEqual([...new Set(wrong)], [])
    })

    it("tell of each retry, and of each final failure once", () => {
      const { logs, spans } = all()
      for (const call of spans.filter(isCall)) {
        const of = (body: string) => logs.filter((log) => log.spanId === call.spanId && log.body === body)
        assert.deepStrictEqual(
          of("claude.retry").map((log) => log.attributes["attempt"]),
          call.events.filter((event) => event.name === "claude.retry").map((event) => event.attributes["attempt"])
        )
        const error = call.attributes["error.type"]
        assert.deepStrictEqual(
          of("gen_ai.client.operation.exception").map((log) => log.attributes["error.type"]),
          error === undefined ? [] : [error]
        )
      }
    })

    it("hold no content, nor does anything else that was written", () => {
      const { logs, requests } = all()
      assert.isFalse(logs.some((log) => Contract.logs[String(log.body)]?.optIn))
      const bytes = requests.map((request) => request.body.toString("latin1")).join("\n")
      assert.include(bytes, "claude-opus-5-5")
      for (const text of Object.values(secrets)) {
        for (const word of text.split(" ").filter((word) => word.includes("-"))) assert.notInclude(bytes, word)
      }
    })
  })

  describe(`content over ${protocol}`, () => {
    const hidden = "[hidden]"
    const redact = (text: string) => text.replaceAll(secrets.prompt, hidden).replaceAll(secrets.argument, hidden)
    const run = Claude.message({
      ...ask,
      tools: [{ name: "lookup", description: secrets.tool, input_schema: { type: "object" } }]
    })
    const answers = [
      Answer.tool("lookup", { q: secrets.argument, id: secrets.argument }, { text: secrets.reply, toolUseId: "t1" })
    ]

    const captureWith = (content: NonNullable<NonNullable<Claude.Options["telemetry"]>["content"]>) =>
      Effect.gen(function*() {
        const simulator = yield* ClaudeSimulator.make()
        return yield* received(
          protocol,
          play(simulator, { name: "content", answers, options: { telemetry: { content } }, run })
        )
      })

    const expected = {
      "gen_ai.system_instructions": [{ type: "text", content: secrets.system }],
      "gen_ai.input.messages": [{ role: "user", parts: [{ type: "text", content: hidden }] }],
      "gen_ai.output.messages": [{
        role: "assistant",
        parts: [
          { type: "text", content: secrets.reply },
          { type: "tool_call", id: "t1", name: "lookup", arguments: { q: hidden, id: hidden } }
        ]
      }],
      "gen_ai.tool.definitions": [{ name: "lookup", description: secrets.tool, input_schema: { type: "object" } }]
    }

    it.live("goes onto the span as JSON, redacted", () =>
      Effect.gen(function*() {
        const { logs, spans } = yield* captureWith({ capture: "span", redact })
        const call = onlyCall(spans, "content")
        assert.deepStrictEqual(mismatches(call.name, rowOf(call)!.attributes, call), [])
        for (const [name, value] of Object.entries(expected)) {
          assert.deepStrictEqual(JSON.parse(String(call.attributes[name])), value, name)
        }
        assert.deepStrictEqual(call.attributes["gen_ai.request.stop_sequences"], [secrets.stop])
        assert.deepStrictEqual(logs, [])
      }))

    it.live("goes into a log with its structure, redacted, whatever the level of logs", () =>
      Effect.gen(function*() {
        const { logs, spans } = yield* captureWith({ capture: "event", redact })
        assert.deepStrictEqual(logs.map((log) => log.body), ["gen_ai.client.inference.operation.details"])
        const [log] = logs
        const row = Contract.logs["gen_ai.client.inference.operation.details"]!
        assert.deepStrictEqual(mismatches("details", row.attributes, log!), [])
        assert.deepStrictEqual([log!.severity, log!.severityNumber], ["Debug", 5])
        for (const [name, value] of Object.entries(expected)) assert.deepStrictEqual(log!.attributes[name], value, name)
        const call = onlyCall(spans, "content")
        assert.strictEqual(log!.spanId, call.spanId)
        assert.isFalse(Object.keys(expected).some((name) => name in call.attributes))
        for (const [name, value] of Object.entries(call.attributes)) {
          assert.deepStrictEqual(log!.attributes[name], value, name)
        }
      }))

    it.live("goes to a function and nowhere else, redacted", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        const { requests } = yield* captureWith({ capture: (content) => void seen.push(content), redact })
        assert.deepStrictEqual(seen, [{
          systemInstructions: expected["gen_ai.system_instructions"],
          inputMessages: expected["gen_ai.input.messages"],
          outputMessages: expected["gen_ai.output.messages"],
          toolDefinitions: expected["gen_ai.tool.definitions"],
          stopSequences: [secrets.stop]
        }])
        const bytes = requests.map((request) => request.body.toString("latin1")).join("\n")
        for (const text of ["that-stays-here", hidden]) assert.notInclude(bytes, text)
      }))

    it.live("keeps what a part is, whatever the redactor makes of texts", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        yield* captureWith({ capture: ({ outputMessages }) => void seen.push(outputMessages), redact: () => "x" })
        assert.deepStrictEqual(seen, [[{
          role: "assistant",
          parts: [
            { type: "text", content: "x" },
            { type: "tool_call", id: "t1", name: "lookup", arguments: { q: "x", id: "x" } }
          ]
        }]])
      }))

    for (const capture of ["span", "event"] as const) {
      it.live(`leaves out what the redactor failed on, and that alone (${capture})`, () =>
        Effect.gen(function*() {
          const all = yield* captureWith({
            capture,
            redact: (text) => {
              if (text.startsWith("prompt") || text.startsWith("argument")) throw new Error(text)
              return text
            }
          })
          const bytes = all.requests.map((request) => request.body.toString("latin1")).join("\n")
          for (const text of [secrets.prompt, secrets.argument]) assert.notInclude(bytes, text)
          for (const text of [secrets.system, secrets.tool, "tool_call", "withheld"]) assert.include(bytes, text)
          assert.strictEqual(onlyCall(all.spans, "content").attributes["claude.outcome"], "success")
          assert.strictEqual(
            total(all, "claude.telemetry.overflow", "value", { "claude.telemetry.signal": "content" }),
            3
          )
        }))
    }
  })
}

// -----------------------------------------------------------------------------
// telemetry that fails
// -----------------------------------------------------------------------------

describe("telemetry that fails", () => {
  const broken = (): never => {
    throw new Error("telemetry is broken")
  }

  /** A message, a stream and a count, each after a retry: what they come to, and what was lost on the way. */
  const outcomes = (
    options: Partial<Claude.Options>,
    around: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      const come: Array<unknown> = []
      const all = yield* received(
        "json",
        Effect.gen(function*() {
          const retried = [Answer.error(529), Answer.text("Hello")]
          yield* simulator.script([...retried, ...retried, Answer.error(400)])
          yield* simulator.script([Answer.error(529)], "count_tokens")
          come.push((yield* Claude.message(ask)).content[0])
          come.push((yield* Stream.runCollect(Claude.stream(ask))).at(-1)?.type)
          come.push((yield* Claude.countTokens(ask)) > 0)
          come.push((yield* Effect.flip(Claude.message(ask))).reason._tag)
        }).pipe(Effect.provide(layerClaude(simulator.url, options)), around)
      )
      const [first, ...rest] = come
      assert.deepInclude(first, { type: "text", text: "Hello" })
      assert.deepStrictEqual(rest, ["message_stop", true, "InvalidRequest"])
      for (const name of ["claude.client.active_requests", "claude.client.active_streams"]) {
        assert.strictEqual(total(all, name, "value"), 0)
      }
      assert.strictEqual(total(all, "claude.client.attempts", "value"), 7)
      const lost = (signal: string) =>
        total(all, "claude.telemetry.overflow", "value", {
          "claude.telemetry.signal": signal,
          "claude.telemetry.reason": "failed"
        })
      return { span: lost("span"), log: lost("log"), content: lost("content") }
    })

  const unchanged = <A>(self: A): A => self
  const retry = RetryPolicy.make({ initial: "5 millis" })

  it.live("loses what a hook throws on, and no call", () =>
    Effect.gen(function*() {
      const lost = yield* outcomes({ retry, telemetry: { content: { capture: broken } } }, unchanged)
      assert.deepStrictEqual(lost, { span: 0, log: 0, content: 3 })
    }))

  it.live("loses what a hook rejects, and no call", () =>
    Effect.gen(function*() {
      const rejecting = async () => broken()
      const lost = yield* outcomes({ retry, telemetry: { content: { capture: rejecting } } }, unchanged)
      assert.deepStrictEqual(lost, { span: 0, log: 0, content: 3 })
    }))

  for (const method of ["attribute", "event", "end", "span"] as const) {
    it.live(`loses what a tracer throws on, and no call (${method})`, () =>
      Effect.gen(function*() {
        const tracer = Tracer.make({
          span: (options) => {
            if (method === "span") broken()
            const span = new Tracer.NativeSpan(options)
            if (method === "attribute") span.attribute = broken
            if (method === "event") span.event = broken
            if (method === "end") span.end = broken
            return span
          }
        })
        const lost = yield* outcomes({ retry, telemetry: { content: { capture: "span" } } }, Effect.withTracer(tracer))
        assert.isAbove(lost.span, 0)
      }))
  }

  it.live("loses what a logger throws on, and no call", () =>
    Effect.gen(function*() {
      const loggers = new Set([Logger.make(broken)])
      const lost = yield* outcomes(
        { retry, telemetry: { content: { capture: "event" } } },
        Effect.provideService(Logger.CurrentLoggers, loggers)
      )
      assert.deepStrictEqual(lost, { span: 0, log: 7, content: 0 })
    }))

  it.live("tells the API of no span where that is switched off", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      yield* received(
        "json",
        play(simulator, { name: "off", options: { telemetry: { propagate: false } }, run: Claude.message(ask) })
      )
      const { entries } = yield* simulator.log
      assert.deepStrictEqual(entries.map(({ headers }) => headers["traceparent"]), [undefined])
    }))
})

// -----------------------------------------------------------------------------
// the table against the conventions
// -----------------------------------------------------------------------------

interface Row {
  readonly level?: string
}
interface Facts {
  readonly schema_url: string
  readonly attributes: Readonly<Record<string, { readonly type: string; readonly enum?: ReadonlyArray<string> }>>
  readonly spans: Readonly<
    Record<string, { readonly kind: string; readonly attributes: Readonly<Record<string, Row>> }>
  >
  readonly metrics: Readonly<
    Record<string, {
      readonly instrument: string
      readonly unit: string
      readonly value: string
      readonly buckets?: ReadonlyArray<number>
      readonly attributes: Readonly<Record<string, Row>>
    }>
  >
  readonly events: Readonly<Record<string, { readonly severity_number?: number }>>
  readonly histogram_bucket_sets: Readonly<Record<string, ReadonlyArray<number>>>
}

const factsFile = new URL("../../../shared/facts/genai-semconv.json", import.meta.url)

describe.skipIf(!existsSync(factsFile))("the table", () => {
  const facts: Facts = existsSync(factsFile) ? JSON.parse(readFileSync(factsFile, "utf8")) : undefined
  const isConvention = (name: string) => /^(gen_ai|error|server|http|url|exception)\./.test(name)

  const rows: ReadonlyArray<readonly [where: string, Contract.Attributes]> = [
    ...Contract.spans.flatMap((span) => [
      [String(span.name), span.attributes] as const,
      ...Object.entries(span.events).map(([name, attributes]) => [`${span.name} ${name}`, attributes] as const)
    ]),
    ...Object.entries(Contract.metrics).map(([name, { labels }]) => [name, labels] as const),
    ...Object.entries(Contract.logs).map(([name, { attributes }]) => [name, attributes] as const)
  ]

  it("names the schema of the conventions", () => {
    assert.strictEqual(Contract.schemaUrl, facts.schema_url)
  })

  it("takes no name from the conventions that they do not have, and none with another type", () => {
    for (const [where, attributes] of rows) {
      for (const [name, { oneOf, type }] of Object.entries(attributes).filter(([name]) => isConvention(name))) {
        const fact = facts.attributes[name]
        assert.isDefined(fact, `${where}: ${name}`)
        // What may be any structure is JSON on spans.
        const types = fact.type === "any" ? ["structured", "string"] : [fact.type]
        assert.include(types, type, `${where}: ${name}`)
        // error.type is open; an operation of one's own is allowed where none of theirs fits.
        const open = name === "error.type" || name === "gen_ai.operation.name"
        if (fact.enum !== undefined && Array.isArray(oneOf) && !open) {
          assert.includeMembers([...fact.enum], oneOf, `${where}: ${name}`)
        }
      }
    }
    assert.include([...facts.attributes["gen_ai.operation.name"]?.enum ?? []], "chat")
  })

  it("has the spans of the conventions, with what they require", () => {
    for (const span of Contract.spans) {
      const fact = facts.spans[span.convention ?? ""]
      if (fact === undefined) continue
      assert.strictEqual(span.kind, fact.kind)
      const foreign = Object.keys(span.attributes).filter((name) => isConvention(name) && !(name in fact.attributes))
      assert.deepStrictEqual(foreign, [], String(span.name))
      for (const [name, { level }] of Object.entries(fact.attributes)) {
        if (level === "required") assert.isTrue(span.attributes[name]?.always, `${span.name}: ${name}`)
        if (level === "opt_in" && name in span.attributes) assert.isTrue(span.attributes[name]?.optIn, name)
      }
    }
  })

  it("has the metrics of the conventions: instrument, unit, value, buckets and labels", () => {
    for (const [name, metric] of Object.entries(Contract.metrics).filter(([name]) => isConvention(name))) {
      const fact = facts.metrics[name]
      assert.isDefined(fact, name)
      assert.deepStrictEqual(
        [metric.instrument, metric.unit, metric.buckets, metric.value ?? fact.value],
        [fact.instrument, fact.unit, fact.buckets, fact.value],
        name
      )
      assert.deepStrictEqual(Object.keys(metric.labels).filter((label) => !(label in fact.attributes)), [], name)
      for (const [label, { level }] of Object.entries(fact.attributes)) {
        if (level === "required") assert.isTrue(metric.labels[label]?.always, `${name}: ${label}`)
      }
    }
    assert.deepStrictEqual(
      Contract.metrics["claude.client.stream.max_gap"]?.buckets,
      facts.histogram_bucket_sets["latency"]
    )
  })

  it("has the events of the conventions, as logs", () => {
    for (const [name, log] of Object.entries(Contract.logs).filter(([name]) => isConvention(name))) {
      const severity = { Debug: 5, Info: 9, Warn: 13 }[log.severity]
      assert.strictEqual(facts.events[name]?.severity_number, severity, name)
    }
  })
})
