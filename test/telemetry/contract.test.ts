import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import type { OtlpProtocol } from "effect-claude/telemetry"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import * as Contract from "./contract.ts"
import { readExposition } from "./exposition.ts"
import {
  callsOf,
  childrenOf,
  isAttempt,
  isCall,
  isChat,
  isOurs,
  isReplayed,
  isWait,
  lasted,
  mismatches,
  numberOf,
  onlyCall,
  pointsOf,
  rowOf,
  seconds,
  sum,
  total
} from "./reading.ts"
import { ask, capture, type Captured, play, received, scenarios, secrets } from "./scenarios.ts"

const captures = new Map<OtlpProtocol, Captured>()

beforeAll(async () => {
  for (const protocol of ["protobuf", "json"] as const) {
    captures.set(protocol, await Effect.runPromise(Effect.scoped(capture(protocol))))
  }
}, 60_000)

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
        // What turned a retry away was no attempt.
        if (!/^(circuit_open|queue_rejected|budget_exceeded)$/.test(String(call.attributes["error.type"]))) {
          assert.strictEqual(errors.at(-1), call.attributes["error.type"], call.name)
        }
        // All but the last have failed or were refused, else there were none after them.
        const refusals = call.events.filter((event) => event.attributes["reason"] === "refusal").length
        assert.strictEqual(errors.slice(0, -1).filter((error) => error === undefined).length, refusals)
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
        // A retry waits for a circuit to close, or to spare the server; what a circuit turned away did not wait.
        const backoffs = children.filter(({ attributes, name }) =>
          /^claude\.wait (backoff|circuit)$/.test(name) && attributes["claude.wait.outcome"] !== "rejected"
        )
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
        if (told !== undefined) assert.strictEqual(told, seconds(first[0]!.time - call.start))
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

    it("tell of an answer that was kept or shared without usage, cost or times of the API's", () => {
      const { spans } = all()
      const isOfTheApi = (name: string) =>
        /^gen_ai\.usage\.|^anthropic\.(usage|request|response)\.|time_to_first|^claude\.cost\.|^claude\.pricing/.test(
          name
        )
      for (
        const [scenario, outcome] of [
          ["an answer that was kept", "hit"],
          ["a stream that was kept", "hit"],
          ["an answer that is shared", "shared"]
        ] as const
      ) {
        const [asked, answered] = callsOf(spans, scenario)
        assert.strictEqual(answered!.attributes["claude.cache.outcome"], outcome)
        assert.strictEqual(answered!.attributes["gen_ai.response.id"], asked!.attributes["gen_ai.response.id"])
        assert.deepStrictEqual(answered!.attributes["gen_ai.response.finish_reasons"], ["end_turn"])
        assert.isNotEmpty(Object.keys(asked!.attributes).filter(isOfTheApi))
        assert.deepStrictEqual(Object.keys(answered!.attributes).filter(isOfTheApi), [], scenario)
      }
    })

    it("tell who served where another did, and why", () => {
      const { spans } = all()
      const told = (scenario: string) => {
        const { attributes, events } = onlyCall(spans, scenario)
        const facts = events.filter((event) => event.name === "claude.fallback").map((event) => event.attributes)
        return [
          attributes["gen_ai.request.model"],
          attributes["gen_ai.response.model"],
          attributes["claude.fallback.served_by"],
          facts
        ]
      }
      const opus = "claude-opus-5-5"
      const haiku = "claude-haiku-4-5"
      const facts = (reason: string) => [{ from: `${opus} at 127.0.0.1`, to: `${haiku} at 127.0.0.1`, reason }]
      const served = `${haiku} at 127.0.0.1`
      assert.deepStrictEqual(told("another model that serves"), [opus, haiku, served, facts("Overloaded")])
      assert.deepStrictEqual(told("a refusal that another model answers"), [opus, haiku, served, facts("refusal")])
      assert.deepStrictEqual(told("another model that fails too"), [opus, undefined, undefined, facts("Overloaded")])
      assert.deepStrictEqual(told("another model that counts"), [opus, undefined, served, facts("Overloaded")])
      assert.deepStrictEqual(told("a stream"), [opus, opus, undefined, []])
    })

    it("tell what turned a call away, and how many waited where the queue was full", () => {
      const { spans } = all()
      const told = (scenario: string) => {
        const call = callsOf(spans, scenario).at(-1)!
        const wait = childrenOf(spans, call).filter(isWait).at(-1)!
        return [wait.name, wait.attributes["claude.wait.outcome"], wait.attributes["claude.wait.queue_depth"]]
      }
      assert.deepStrictEqual(told("a queue that is full"), ["claude.wait concurrency", "rejected", 0])
      assert.deepStrictEqual(told("a wait for a turn"), ["claude.wait concurrency", "granted", 1])
      assert.deepStrictEqual(told("a budget that is spent"), ["claude.wait budget", "rejected", undefined])
      assert.deepStrictEqual(told("a retry that a budget turns away"), ["claude.wait budget", "rejected", undefined])
      assert.deepStrictEqual(told("another model while a circuit is open"), [
        "claude.wait circuit",
        "rejected",
        undefined
      ])
      assert.deepStrictEqual(told("a circuit that is waited for"), ["claude.wait circuit", "granted", undefined])
      for (const call of spans.filter((span) => span.attributes["claude.outcome"] === "rejected")) {
        const outcomes = childrenOf(spans, call).filter(isWait).map((wait) => wait.attributes["claude.wait.outcome"])
        // One whose turn would have come too late does not wait for it, and its error says so.
        const isLate = call.attributes["error.type"] === "client_timeout_error"
        assert.include(isLate ? ["deadline", undefined] : ["rejected"], outcomes.at(-1), call.name)
      }
    })

    it("have waits that took more than a millisecond, or did not get what they were for", () => {
      for (const wait of all().spans.filter(isWait)) {
        assert.isTrue(lasted(wait) > 0.001 || wait.attributes["claude.wait.outcome"] !== "granted", wait.name)
      }
    })

    it("tell of a circuit as a reason to wait", () => {
      const { events } = onlyCall(all().spans, "a circuit that is waited for")
      const retries = events.filter((event) => event.name === "claude.retry").map(({ attributes }) => attributes)
      assert.deepStrictEqual(
        retries.map(({ attempt, reason }) => [attempt, reason]),
        [[1, "ServerError"], [2, "ServerError"], [2, "CircuitOpen"]]
      )
      assert.isAtLeast(Number(retries[2]?.["delay"]), Number(retries[2]?.["retry_after"]))
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
        assert.isNotEmpty(points, name)
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
      // The one that was asked for.
      assert.isTrue(ids.delete("umbrella"))
      const values = metrics.flatMap((metric) => metric.points.flatMap((point) => Object.values(point.attributes)))
      assert.deepStrictEqual(values.filter((value) => typeof value === "string" && ids.has(value)), [])
      assert.strictEqual(
        total(all(), "gen_ai.client.inference.duration", "count", { "gen_ai.request.model": "other" }),
        spans.filter((span) => span.name === "chat claude-unheard-of-9").length
      )
      const circuits = pointsOf(all(), "claude.circuit.state").map((point) => point.attributes["claude.circuit.key"])
      const place = new URL(now().url).host
      assert.sameMembers(circuits, [`${place}/claude-opus-5-5`, `${place}/other`])
    })

    it("name a tenant on the cost alone, and only where that is asked for", () => {
      const received = all()
      const named = received.metrics.filter(({ points }) => points.some((point) => "claude.tenant" in point.attributes))
      assert.deepStrictEqual(named.map((metric) => metric.name), ["claude.client.cost"])
      const call = onlyCall(received.spans, "a tenant whose cost is told apart")
      assert.closeTo(
        total(received, "claude.client.cost", "value", { "claude.tenant": "umbrella" }),
        numberOf(call, "claude.cost.amount"),
        1e-9
      )
    })

    it.live("name a hundred tenants, and call the others other", () =>
      Effect.gen(function*() {
        const simulator = yield* ClaudeSimulator.make()
        const tenants = Array.from({ length: 103 }, (_, n) => `tenant ${n}`)
        const all = yield* received(
          protocol,
          play(simulator, {
            name: "tenants",
            options: { telemetry: { tenants: true }, concurrency: 4 },
            run: Effect.forEach([...tenants, "tenant 5", "tenant 102"], (tenant) =>
              Claude.message(ask).pipe(Claude.withPolicy({ tenant })))
          })
        )
        const named = new Set(
          pointsOf(all, "claude.client.cost").map((point) =>
            point.attributes["claude.tenant"]
          )
        )
        assert.deepStrictEqual([...named], [...tenants.slice(0, 100), "other"])
      }))

    it("have a duration for each chat, by the error.type of its span", () => {
      const received = all()
      // What the cache answered is no inference.
      const chats = received.spans.filter(isChat).filter((span) => !isReplayed(span))
      const points = pointsOf(received, "gen_ai.client.inference.duration")
      for (const error of new Set(chats.map((span) => span.attributes["error.type"]))) {
        const of = chats.filter((span) => span.attributes["error.type"] === error)
        const told = points.filter((point) => point.attributes["error.type"] === error)
        assert.strictEqual(sum(told.map((point) => point.count ?? 0)), of.length, String(error))
        assert.closeTo(sum(told.map((point) => point.sum ?? 0)), sum(of.map(lasted)), 1e-6, String(error))
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

    it("count tokens and money of each model by itself where a call went to two", () => {
      const [first, second] = ["claude-opus-5-5", "claude-haiku-4-5"].map((model) => {
        const labels = { "gen_ai.request.model": model, "gen_ai.response.model": model }
        return (name: string) => total(all(), name, "value", labels)
      })
      const calls = [
        ...["another model that serves", "a refusal that another model answers"].map((scenario) =>
          onlyCall(all().spans, scenario)
        ),
        callsOf(all().spans, "another model while a circuit is open").at(-1)!
      ]
      // A 529 is billed nothing, what was not sent neither, and a refusal is.
      const output = sum(calls.map((call) => numberOf(call, "gen_ai.usage.output_tokens")))
      assert.strictEqual(second!("gen_ai.client.inference.usage.output_tokens"), (output / 4) * 3)
      const cost = sum(calls.map((call) => numberOf(call, "claude.cost.amount")))
      assert.isAbove(second!("claude.client.cost"), 0)
      assert.isBelow(second!("claude.client.cost"), cost)
      assert.isAbove(first!("claude.client.cost"), cost - second!("claude.client.cost"))
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
      for (const kind of ["backoff", "budget", "circuit", "concurrency", "rate_limit"]) {
        for (const outcome of ["granted", "cancelled", "deadline", "rejected"]) {
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
      for (const name of ["queue.depth", "active_requests", "active_streams"]) {
        const values = pointsOf(all(), `claude.client.${name}`).map((point) => point.value)
        assert.isNotEmpty(values)
        assert.deepStrictEqual(values, values.map(() => 0), name)
      }
    })

    it("tell of limits as the server does", () => {
      const gauge = (name: string) =>
        Object.fromEntries(
          pointsOf(all(), `claude.ratelimit.${name}`).map((
            point
          ) => [point.attributes["claude.ratelimit.kind"], point.value])
        )
      assert.deepStrictEqual(gauge("limit"), { tokens: 50_000, input_tokens: 40_000, output_tokens: 10_000 })
      assert.deepStrictEqual(gauge("requests.limit"), { requests: 1 })
      assert.deepStrictEqual(gauge("requests.remaining"), { requests: 0 })
      const remaining = gauge("remaining")
      assert.sameMembers(Object.keys(remaining), ["tokens", "input_tokens", "output_tokens"])
      for (const [kind, value] of Object.entries(gauge("limit"))) {
        // Whole again, where the reset has passed by now.
        assert.isTrue(Number(remaining[kind]) > 0.9 * Number(value) && Number(remaining[kind]) <= Number(value), kind)
      }
      const reset = gauge("reset")
      assert.sameMembers(Object.keys(reset), ["requests", "tokens", "input_tokens", "output_tokens"])
      // An hour brings one request, and any number of tokens sooner.
      assert.isTrue(Number(reset["requests"]) > 3500 && Number(reset["requests"]) <= 3601)
      assert.isBelow(Number(reset["tokens"]), 60)
    })

    it("tell of circuits, budgets, the cache and stores what became of them", () => {
      const received = all()
      const by = (name: string, ...labels: ReadonlyArray<string>) =>
        Object.fromEntries(
          pointsOf(received, name).map((point) => [
            labels.map((label) => point.attributes[label]).join(" "),
            point.value
          ])
        )
      const place = new URL(now().url).host
      assert.deepStrictEqual(by("claude.circuit.state", "claude.circuit.key"), {
        [`${place}/claude-opus-5-5`]: 0,
        [`${place}/other`]: 2
      })
      assert.deepStrictEqual(by("claude.circuit.transitions", "claude.circuit.from", "claude.circuit.to"), {
        "Closed Open": 5,
        "Open HalfOpen": 2,
        "HalfOpen Closed": 2
      })
      assert.deepStrictEqual(by("claude.budget.rejections", "claude.budget.name"), {
        daily: 2,
        "by tenant": 1,
        weekly: 1
      })
      const limits = by("claude.budget.limit", "claude.budget.name")
      const remaining = by("claude.budget.remaining", "claude.budget.name")
      assert.strictEqual(limits["monthly"], 5)
      const cost = numberOf(onlyCall(received.spans, "a budget that is nearly spent"), "claude.cost.amount")
      assert.closeTo(Number(remaining["monthly"]), 5 - cost, 1e-8)
      assert.deepStrictEqual(by("claude.cache.lookups", "claude.cache.outcome"), { miss: 6, hit: 2, shared: 1 })
      assert.deepStrictEqual(by("claude.prompt_cache.misses", "gen_ai.request.model"), { "claude-opus-5-5": 1 })
      const unavailable = by("claude.store.unavailable", "claude.store.name")
      assert.sameMembers(Object.keys(unavailable), ["limits", "circuits", "budgets", "usage", "cache"])
    })
  })

  describe(`metrics for Prometheus, beside ${protocol}`, () => {
    /** The name that the conventions between OpenTelemetry and Prometheus give a metric. */
    const nameOf = (name: string, { instrument, unit }: Contract.Metric) => {
      const suffix = ({ s: "_seconds", "{token}/s": "_per_second" } as Readonly<Record<string, string>>)[unit] ?? ""
      return name.replaceAll(".", "_") + suffix + (instrument === "counter" ? "_total" : "")
    }

    it("have the names, types and labels of the table", () => {
      const { families, samples } = readExposition(now().prometheus)
      const expected = Object.entries(Contract.metrics).map(([name, row]) => [nameOf(name, row), row] as const)
      assert.deepStrictEqual(
        Object.fromEntries(families),
        Object.fromEntries(expected.map(([name, { instrument }]) => [name, instrument]))
      )
      for (const [name, row] of expected) {
        const labels = new Set(
          samples.filter(({ family }) => family === name).flatMap((sample) => Object.keys(sample.labels))
        )
        labels.delete("le")
        assert.sameMembers([...labels], Object.keys(row.labels).map((label) => label.replaceAll(".", "_")), name)
      }
      for (
        const name of [
          "claude_client_wait_duration_seconds",
          "claude_client_queue_depth",
          "claude_client_cost_total",
          "claude_circuit_transitions_total",
          "claude_ratelimit_requests_remaining",
          "claude_ratelimit_reset_seconds",
          "claude_budget_tokens_remaining",
          "claude_budget_rejections_total",
          "claude_store_unavailable_total",
          "claude_cache_lookups_total",
          "claude_prompt_cache_misses_total",
          "claude_telemetry_overflow_total"
        ]
      ) assert.isTrue(families.has(name), name)
    })

    it("say what OTLP says", () => {
      const { samples } = readExposition(now().prometheus)
      for (const [name, row] of Object.entries(Contract.metrics)) {
        // Of limits the time goes on.
        if (name.startsWith("claude.ratelimit.")) continue
        const family = nameOf(name, row)
        const of = row.instrument === "histogram" ? "sum" : "value"
        const values = samples.filter((sample) => sample.name === (of === "sum" ? `${family}_sum` : family))
        assert.closeTo(sum(values.map((sample) => sample.value)), total(all(), name, of), 1e-6, name)
        assert.strictEqual(values.length, pointsOf(all(), name).length, name)
      }
    })
  })

  describe(`logs over ${protocol}`, () => {
    it("are those of the table, with the ids of their call", () => {
      const { logs, spans } = all()
      const wrong = logs.flatMap((log) => {
        const row = Contract.logs[String(log.body)]
        if (row === undefined) return [`a log ${String(log.body)}`]
        assert.include([row.severity].flat(), log.severity)
        const span = spans.find((span) => span.spanId === log.spanId && span.traceId === log.traceId)
        if (row.of === "call" && !(span !== undefined && isCall(span))) {
          return [`${String(log.body)} belongs to no call`]
        }
        // What asks a store between calls has no caller.
        const isOfCaller = span === undefined ? log.spanId === undefined : span.name.startsWith("scenario ")
        if (row.of === "caller" && !isOfCaller) return [`${String(log.body)} belongs to ${span?.name}`]
        return mismatches(String(log.body), row.attributes, log)
      })
      assert.deepStrictEqual([...new Set(wrong)], [])
    })

    it("show every row of the table, and every attribute that is no opt-in", () => {
      const { logs } = all()
      for (const [body, row] of Object.entries(Contract.logs)) {
        if (row.optIn) continue
        const shown = logs.filter((log) => log.body === body)
        const names = new Set(shown.flatMap((log) => Object.keys(log.attributes)))
        // Only a refusal comes from a budget that each tenant has.
        const rows = Object.keys(row.attributes).filter((name) =>
          name !== "claude.tenant" || body === "claude.budget.exceeded"
        )
        assert.deepStrictEqual(rows.filter((name) => !names.has(name)), [], body)
        assert.sameMembers([...new Set(shown.map((log) => log.severity))], [row.severity].flat(), body)
      }
    })

    it("tell of what happens to admission once, and to whom", () => {
      const { logs, spans } = all()
      const told = (body: string, scenario: string) => {
        const root = spans.find((span) => span.name === `scenario ${scenario}`)
        return logs.filter((log) => log.body === body && log.spanId === root?.spanId).map(({ attributes }) =>
          attributes
        )
      }
      const moves = told("claude.circuit.transition", "a circuit that opens and closes again")
      assert.deepStrictEqual(
        moves.map((move) => [move["claude.circuit.from"], move["claude.circuit.to"]]),
        [["Closed", "Open"], ["Open", "HalfOpen"], ["HalfOpen", "Closed"]]
      )
      const [exceeded, ...again] = told("claude.budget.exceeded", "a budget that is spent")
      assert.deepStrictEqual(again, [])
      assert.deepStrictEqual(
        [exceeded?.["claude.budget.name"], exceeded?.["unit"], exceeded?.["limit"], exceeded?.["spent"]],
        ["daily", "USD", 0.000_001, 0]
      )
      assert.isAbove(Number(exceeded?.["needed"]), 0.000_001)
      const [ofTenant] = told("claude.budget.exceeded", "a tenant's budget, in tokens")
      assert.deepStrictEqual(
        [ofTenant?.["claude.tenant"], ofTenant?.["unit"], ofTenant?.["limit"]],
        ["acme", "tokens", 10]
      )
      assert.lengthOf(told("claude.budget.threshold", "a budget that is nearly spent"), 1)
      assert.lengthOf(told("claude.budget.unpriced", "a budget that something without a price is a part of"), 1)
      const low = told("claude.ratelimit.low", "limits that are told, and nearly used up")
      assert.deepStrictEqual(low.map((log) => [log["claude.ratelimit.kind"], log["remaining"]]), [["requests", 0]])
      const stores = told("claude.store.unavailable", "stores that are gone").map((log) => log["claude.store.name"])
      assert.includeMembers(stores, ["circuits", "budgets", "usage", "cache"])
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
}
