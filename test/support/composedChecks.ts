/** What must be so of a composed program, whatever has happened to it. */
import { assert } from "@effect/vitest"
import { Cause, Exit, type Tracer } from "effect"
import { type Claude, ClaudeError } from "effect-claude"
import { LongDocument } from "effect-claude/documents"
import { PromptError } from "effect-claude/prompts"
import { AiError } from "effect/ai"
import { inspect } from "node:util"
import { type observe, tell } from "../flow/observe.ts"
import type { ReceivedSpan } from "../telemetry/receiver.ts"
import { budgets, type Ended, type Left, maxTokens, rates, tenants } from "./composed.ts"
import * as Server from "./composedServer.ts"
import * as Tools from "./composedTools.ts"

type Json = ReturnType<typeof JSON.parse>

// -----------------------------------------------------------------------------
// spans, wherever they come from
// -----------------------------------------------------------------------------

export interface Told {
  readonly id: string
  readonly parent: string | undefined
  readonly name: string
  readonly start: bigint
  readonly end: bigint | undefined
  readonly attributes: Readonly<Record<string, unknown>>
  /** All that it says. */
  readonly text: string
  readonly status: string
}

export const toldOf = (span: Tracer.NativeSpan): Told => {
  const status = span.status._tag === "Ended" && Exit.isFailure(span.status.exit)
    ? Cause.pretty(span.status.exit.cause)
    : ""
  return {
    id: span.spanId,
    parent: span.parent._tag === "Some" ? span.parent.value.spanId : undefined,
    name: span.name,
    start: span.status.startTime,
    end: span.status._tag === "Ended" ? span.status.endTime : undefined,
    attributes: Object.fromEntries(span.attributes),
    text: inspect([span.name, [...span.attributes], span.events], { depth: 6, maxStringLength: Infinity }),
    status
  }
}

export const toldOfReceived = (span: ReceivedSpan): Told => ({
  id: span.spanId,
  parent: span.parentSpanId,
  name: span.name,
  start: span.start,
  end: span.end,
  attributes: span.attributes,
  text: inspect([span.name, span.attributes, span.events.filter(({ name }) => name !== "exception")], {
    depth: 6,
    maxStringLength: Infinity
  }),
  status: inspect([span.statusMessage, span.events.filter(({ name }) => name === "exception")], {
    depth: 6,
    maxStringLength: Infinity
  })
})

const parentsOf: ReadonlyArray<readonly [name: RegExp, parent: RegExp]> = [
  [/^POST$/, /^(chat|count_tokens) /],
  [/^claude\.wait /, /^(chat|count_tokens) /],
  [/^execute_tool /, /^(invoke_agent |LanguageModel\.)/],
  [/^invoke_agent helper$/, /^execute_tool helper$/],
  [/^invoke_agent boss$/, /^run$/],
  [/^invoke_agent last$/, /^crowd$/],
  [/^claude\.document$/, /^run$/],
  [/^Chat\./, /^program$/],
  [/^LanguageModel\./, /^(Chat\..*|program|invoke_agent .*|crowd)$/],
  [/^chat /, /^(LanguageModel\..*|program|claude\.document|crowd)$/],
  [/^count_tokens /, /^(LanguageModel\..*|program|claude\.document|crowd)$/]
]

/** Spans are trees, each beneath whom it is of, and within its time. */
export const assertTrees = (spans: ReadonlyArray<Told>) => {
  const byId = new Map(spans.map((span) => [span.id, span]))
  const wrong = spans.flatMap(({ attributes, end, name, parent, start }): ReadonlyArray<string> => {
    if (end === undefined) return [`${name} has not ended`]
    const [, expected] = parentsOf.find(([of]) => of.test(name)) ?? []
    if (expected === undefined) return ["program", "run", "crowd"].includes(name) ? [] : [`nobody knows ${name}`]
    const above = parent === undefined ? undefined : byId.get(parent)
    if (above === undefined || !expected.test(above.name)) {
      return [`${name} is beneath ${above?.name}: ${JSON.stringify(attributes)}`]
    }
    if (above.start > start) return [`${name} begins before ${above.name}`]
    // A call that others wait for, too, goes on when its own caller has left.
    if (above.attributes["kind"] === "cached") return []
    // Those two are the framework's own.
    if (name === "LanguageModel.streamText" && above.name === "Chat.streamText") return []
    return above.end !== undefined && above.end < end ? [`${name} ends ${end - above.end} ns after ${above.name}`] : []
  })
  assert.deepStrictEqual(wrong, [])
}

/** What is beneath a span, itself included. */
export const beneath = (spans: ReadonlyArray<Told>) => {
  const children = new Map<string, Array<Told>>()
  for (const span of spans) {
    if (span.parent === undefined) continue
    const known = children.get(span.parent)
    if (known === undefined) children.set(span.parent, [span])
    else known.push(span)
  }
  const of = (span: Told): ReadonlyArray<Told> => [span, ...(children.get(span.id) ?? []).flatMap(of)]
  return of
}

export const sum = <A>(all: ReadonlyArray<A>, of: (one: A) => number) => all.reduce((sum, one) => sum + of(one), 0)

/** What the calls among spans cost: each of these is a receipt. */
export const costOf = (spans: ReadonlyArray<Told>): number =>
  sum(spans, ({ attributes, name }) => name.startsWith("chat ") ? Number(attributes["claude.cost.amount"] ?? 0) : 0)

// -----------------------------------------------------------------------------
// what must be so
// -----------------------------------------------------------------------------

const isOwn = (error: unknown) =>
  error === Tools.ofConsumer || error instanceof Tools.Broke || error instanceof Tools.Injected

const isTyped = (error: unknown): boolean =>
  isOwn(error) || ClaudeError.isClaudeError(error) || AiError.isAiError(error) ||
  error instanceof LongDocument.LongDocumentError || error instanceof PromptError.PromptError

/** Each error is typed, each defect is a tool's own, and none tells what it should not. */
export const assertEnded = ({ exit, id, interrupted, kind }: Ended, mayBeInterrupted = false) => {
  if (Exit.isSuccess(exit)) return
  for (const reason of exit.cause.reasons) {
    if (Cause.isInterruptReason(reason)) assert.isTrue(interrupted || mayBeInterrupted, `${kind} ${id}: ${tell(exit)}`)
    else {
      const error = Cause.isFailReason(reason) ? reason.error : reason.defect
      const isExpected = Cause.isFailReason(reason) ? isTyped(error) : error instanceof Tools.Injected
      assert.isTrue(isExpected, `${kind} ${id}: ${Cause.pretty(exit.cause)}`)
      if (isOwn(error)) continue
      // What had come of an answer is the caller's, and no part of what an error says.
      assertSilent(
        `the error of ${kind} ${id}`,
        `${String(error)} ${(error as Error).message} ${Cause.pretty(exit.cause)}`
      )
      assertNoSecret(`the error of ${kind} ${id}`, inspect(error, { depth: 10, showHidden: true }))
    }
  }
}

const secret = new RegExp(Server.KEY.match(/.{6}/g)!.join("|"))
const silent = new RegExp(`${Server.CANARY}|${Server.ASKED_PII}|${Server.ANSWERED_PII}|${secret.source}`)

const near = (text: string, found: RegExp): string | undefined => {
  const at = text.search(found)
  return at === -1 ? undefined : text.slice(Math.max(0, at - 200), at + 100)
}

/** Tells no prompt, no answer, no personal data and no credential. */
export const assertSilent = (where: string, text: string) => {
  const told = near(text, silent)
  if (told !== undefined) assert.fail(`${where} tells …${told}…`)
}

export const assertNoSecret = (where: string, text: string) => {
  const told = near(text, secret)
  if (told !== undefined) assert.fail(`${where} tells the credential: …${told}…`)
}

const assertTelemetry = (spans: ReadonlyArray<Told>, { logs, metrics }: ReturnType<typeof observe>) => {
  for (const { name, status, text } of spans) {
    assertSilent(`the span ${name}`, text)
    // What a tool of the program fails with is in the spans of the program around it.
    if (!/^(program|run|crowd|Chat\..*)$/.test(name)) assertSilent(`the end of ${name}`, status)
    assertNoSecret(`the end of ${name}`, status)
  }
  assertSilent("a log", logs.join("\n"))
  assertSilent("a metric", inspect(metrics(), { depth: 8, maxArrayLength: Infinity }))
}

const count = (metrics: ReadonlyArray<Json>, name: string, labels: (labels: string) => boolean = () => true) =>
  sum(
    metrics,
    (metric) => metric.id === name && labels(JSON.stringify(metric.attributes)) ? Number(metric.state.count) : 0
  )

/** The report, the metric, the spans and the budgets are accounts of the same bills. */
const assertMoney = (
  spans: ReadonlyArray<Told>,
  { memory, observed, rows, spent, log, ends }: Left,
  exact: boolean
) => {
  const reported = sum(rows, ({ cost }) => cost)
  const later = spans.filter(({ attributes }) => attributes["claude.tag.later"] === "yes")
  const receipts = costOf(spans) - costOf(later)
  assert.closeTo(receipts, reported, 1e-9, "the receipts and the report")
  assert.closeTo(
    count(observed.metrics(), "claude.client.cost"),
    reported + costOf(later),
    1e-9,
    "the metric and the report"
  )
  assert.strictEqual(sum(rows, ({ unpriced }) => unpriced), 0)
  if (exact) {
    assert.deepStrictEqual(
      spans.filter((span) => isUnknown(span) && !later.includes(span)).map(({ attributes }) => attributes),
      []
    )
  }
  let beyond = 0
  for (const tenant of tenants) {
    const known = sum(rows.filter((row) => row.tenant === tenant), ({ cost }) => cost)
    assert.closeTo(
      costOf(spans.filter((span) => span.attributes["claude.tenant"] === tenant && !later.includes(span))),
      known,
      1e-9,
      `the receipts of ${tenant}`
    )
    assert.isAtMost(spent[tenant]!, budgets[tenant]! + 1e-9, `the budget of ${tenant}`)
    assert.isAtLeast(spent[tenant]!, known - 1e-9, `what ${tenant} has spent`)
    beyond += spent[tenant]! - known
  }
  // Of an answer that did not end more may count than is known of it, and never more than was reserved.
  const most = Math.max(...log.entries.map(({ body }) => JSON.stringify(body ?? "").length)) * rates.input / 1e6 +
    maxTokens * rates.output / 1e6
  const failed = count(observed.metrics(), "claude.client.attempts", (labels) => !labels.includes("\"success\""))
  assert.isAtMost(beyond, exact ? 1e-9 : failed * most, "what budgets count beyond the report")

  const of = beneath(spans)
  const byAttribute = new Map(spans.map((span) => [String(span.attributes["id"]), span]))
  for (const { cost, id, of: name, reason } of memory.costs) {
    const run = spans.find((span) => span.name === name && span.parent === byAttribute.get(id)!.id)!
    const calls = of(run)
    if (cost !== undefined) assert.closeTo(cost, costOf(calls), 1e-9, `what ${name} cost in ${id}`)
    // Of an answer that a guard has refused, the usage alone is known.
    else {assert.isTrue(
        reason === "time-limit" || calls.some(isUnknown),
        `${name} in ${id} has a cost that is not known`
      )}
  }
  for (const { exit, id, kind } of ends) {
    if (kind !== "attached" || Exit.isFailure(exit)) continue
    const { cost } = exit.value as Claude.Message
    assert.closeTo(cost!.amount, costOf(of(byAttribute.get(id)!)), 1e-9, `the receipt of ${id}`)
  }
}

const isUnknown = ({ attributes, name, text }: Told) =>
  (name.startsWith("chat ") && attributes["claude.outcome"] !== "success") || text.includes("'reject'")

const assertTools = ({ memory: { approved, ofAgents, paid, shipped } }: Left) => {
  for (const [number, times] of shipped) {
    assert.strictEqual(times, 1, `the tool ship ran ${times} times for call ${number}`)
  }
  for (const [number, times] of paid) {
    assert.isAtMost(
      times,
      Tools.needsApproval({ number }) ? approved.get(number) ?? 0 : 1,
      `the tool pay ran ${times} times for call ${number}`
    )
    if (ofAgents.has(number)) assert.strictEqual(times, 1, `an agent ran pay ${times} times for call ${number}`)
  }
}

const assertHidden = ({ ends, log, memory }: Left) => {
  for (const { body, index } of log.entries) {
    assert.notInclude(JSON.stringify(body ?? ""), Server.ASKED_PII, `what request ${index} tells`)
  }
  for (const { of, prompt } of memory.kept.values()) assert.notInclude(JSON.stringify(prompt), Server.ANSWERED_PII, of)
  for (const { exit, id, kind } of ends) {
    const all = inspect(exit, { depth: 20, showHidden: true, maxStringLength: Infinity, maxArrayLength: Infinity })
    assert.notInclude(all, Server.ANSWERED_PII, `what ${kind} ${id} ends with`)
  }
}

/** The version that a call says it is of is that which was sent. */
const assertPrompts = (spans: ReadonlyArray<Told>, { log }: Left) => {
  const byId = new Map(spans.map((span) => [span.id, span]))
  for (const { body, headers } of log.entries) {
    const version = /template of version (\d+)/.exec(JSON.stringify(body ?? ""))?.[1]
    const attempt = byId.get(headers["traceparent"]?.split("-")[2] ?? "")
    if (version === undefined || attempt === undefined) continue
    assert.strictEqual(byId.get(attempt.parent!)!.attributes["gen_ai.prompt.version"], version)
  }
}

/** All that must be so of a run, with the spans that it has told. */
export const assertAll = (left: Left, { exact = false, spans = left.observed.spans.map(toldOf) }: {
  /** Nothing has failed or was given up, so budgets count what was billed and no more. */
  readonly exact?: boolean
  readonly spans?: ReadonlyArray<Told>
} = {}) => {
  for (const end of left.ends) assertEnded(end)
  const refused = left.log.entries.filter(({ status }) => status === 400)
  assert.deepStrictEqual(refused.map(({ body }) => body), [], "requests that the API refused")
  assertTrees(spans)
  assertTelemetry(spans, left.observed)
  assertMoney(spans, left, exact)
  assertTools(left)
  assertHidden(left)
  assertPrompts(spans, left)
}
