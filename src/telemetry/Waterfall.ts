/**
 * Draws a call as a waterfall: a line for each of its spans with a bar on one scale, then first token, tokens and cost.
 *
 * The thin part of a bar is time in which nothing had come, the thick part time in which content flowed; a dashed one
 * is a wait. Where a call went on to another model, an arrow says to which and why.
 */
import * as Cause from "effect/Cause"
import type * as Tracer from "effect/Tracer"
import * as Attributes from "./Attributes.ts"
import { clean, count, fit, itself, money, type Paint, paints, type Style, timeOf } from "./Terminal.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A span of a call, and how deep it stands below the call's own. @internal */
export interface Row {
  readonly span: Tracer.Span
  readonly depth: number
}

/** The call went on to another target. @internal */
export interface Fallback {
  readonly at: bigint
  readonly attributes: Readonly<Record<string, unknown>> | undefined
}

/** A call and what happened within it, in the order in which it was told; the first row is the call itself. @internal */
export interface Call {
  readonly span: Tracer.Span
  readonly rows: Array<Row | Fallback>
  omitted: number
  firstContentAt: bigint | undefined
}

// -----------------------------------------------------------------------------
// waterfall
// -----------------------------------------------------------------------------

/** Draws a call that has ended, in lines no longer than `width`. @internal */
export const waterfall = (call: Call, width: number, colored: boolean): string => {
  const colors = paints(colored)
  const start = call.span.status.startTime
  const total = millis(endOf(call.span, start) - start)
  const firstContent = firstContentOf(call, start)
  const end = endOf(call.span, start)
  const lines = call.rows.map((row): Line => {
    if (!("span" in row)) return fallbackLine(row, millis(row.at - start), call)
    const { depth, span } = row
    return {
      label: labelOf(span),
      depth,
      offset: millis(span.status.startTime - start),
      // What outlives the call is drawn to its end.
      duration: millis(endOf(span, end) - span.status.startTime),
      outcome: isWait(span) ? waitOutcomeOf(span) : outcomeOf(span),
      isWait: isWait(span)
    }
  })

  const full = lines.map(({ depth, label }, at) => {
    const branch = depth === 0 ? "" : `${"  ".repeat(depth - 1)}${at === lines.length - 1 ? "└" : "├"} `
    return branch + label
  })
  const widest = (texts: ReadonlyArray<string>, max = Infinity) =>
    Math.min(max, Math.max(...texts.map((text) => text.length)))
  const room = Math.floor(width * 0.36)
  // Where it is narrow, what was waited for says more than whose span it is.
  const labels = widest(full) <= room ? full : full.map((label) => label.replace("claude.wait ", "wait "))
  const labelWidth = widest(labels, room)
  const outcomeWidth = widest(lines.map((line) => line.outcome.text), Math.floor(width * 0.28) - 1)
  const spare = width - labelWidth - outcomeWidth - 21
  // On a narrow terminal the offsets go, which the bars show anyhow.
  const offsets = spare >= 8
  const barWidth = offsets ? spare : Math.max(spare + 9, 4)

  const drawn = lines.map((line, at) => {
    const { depth, duration, outcome } = line
    const hue = depth === 0 && outcome.ok ? colors.green : colors[outcome.hue]
    const label = (depth === 0 ? colors.bold : itself)(fit(labels[at]!, labelWidth).padEnd(labelWidth))
    const bar = barOf(line, { barWidth, colors, firstContent, hue, total })
    const offset = offsets ? colors.dim(`+${timeOf(line.offset)}`.padStart(8)) + " " : ""
    const lasted = (duration === undefined ? "" : timeOf(duration)).padStart(7)
    return `${label}  ${bar} ${offset}${lasted}${
      outcome.text === "" ? "" : "  " + hue(fit(outcome.text, outcomeWidth))
    }`
  })
  if (call.omitted > 0) drawn.push(colors.dim(`  … ${call.omitted} more`))
  return [...drawn, ...summary(call, firstContent, width, colors), ""].join("\n")
}

interface Line {
  readonly label: string
  readonly depth: number
  /** In milliseconds, from the start of the call. */
  readonly offset: number
  /** Undefined where it happened at once. */
  readonly duration: number | undefined
  readonly outcome: OutcomeText
  readonly isWait: boolean
}

/** A thin line while nothing has come, a thick one once content flows. */
const barOf = (
  { duration, isWait, offset }: Line,
  { barWidth, colors, firstContent, hue, total }: {
    readonly barWidth: number
    readonly colors: Style
    readonly firstContent: number | undefined
    readonly hue: Paint
    readonly total: number
  }
): string => {
  const column = (at: number) => total <= 0 ? 0 : Math.min(Math.floor(at / total * barWidth), barWidth - 1)
  const from = column(offset)
  const before = " ".repeat(from)
  if (duration === undefined) return before + hue("▸") + " ".repeat(barWidth - from - 1)
  const to = total <= 0
    ? barWidth
    : Math.max(Math.ceil(Math.min((offset + duration) / total, 1) * barWidth), from + 1)
  const after = " ".repeat(barWidth - to)
  if (isWait) return before + colors.yellow("╌".repeat(to - from)) + after
  // Spans are timed in nanoseconds and the first content in milliseconds.
  const shows = firstContent !== undefined && firstContent >= offset - 1 && firstContent <= offset + duration + 1
  if (!shows) return before + hue("━".repeat(to - from)) + after
  const mark = Math.min(Math.max(column(firstContent), from), to - 1)
  return before + hue("─".repeat(mark - from)) + colors.magenta(marker) + hue("━".repeat(to - mark - 1)) + after
}

const marker = "◆"

const summary = (
  call: Call,
  firstContent: number | undefined,
  width: number,
  colors: Style
): ReadonlyArray<string> => {
  const { attributes } = call.span
  const number = (name: string) => {
    const value = attributes.get(name)
    return typeof value === "number" ? value : undefined
  }
  const input = number(Attributes.usageInputTokens) ?? number(Attributes.countedInputTokens)
  const output = number(Attributes.usageOutputTokens)
  const cached = number(Attributes.usageCacheReadTokens) ?? 0
  const cost = number(Attributes.costAmount)
  const attempts = number(Attributes.attemptCount)
  const stop = attributes.get(Attributes.stopReason)
  const id = attributes.get(Attributes.requestId)
  const pieces: Array<readonly [text: string, hue: Paint]> = []
  if (firstContent !== undefined) pieces.push([`${marker} first token ${timeOf(firstContent)}`, colors.magenta])
  if (input !== undefined) {
    const read = cached > 0 ? ` (${count(cached)} cached)` : ""
    pieces.push([`${count(input)} tokens in${read}${output === undefined ? "" : `, ${count(output)} out`}`, itself])
  }
  if (cost !== undefined) pieces.push([money(cost, attributes.get(Attributes.costCurrency)), itself])
  const cache = attributes.get(Attributes.cacheOutcome)
  const servedBy = attributes.get(Attributes.servedBy)
  if (cache === "hit") pieces.push(["from the cache", colors.cyan])
  else if (cache === "shared") pieces.push(["with the answer to another call", colors.cyan])
  else if (attempts === 0 && id === undefined) pieces.push(["not sent", colors.yellow])
  else if (attempts !== undefined && attempts > 0) {
    pieces.push([`${attempts} ${attempts === 1 ? "attempt" : "attempts"}`, itself])
  }
  if (servedBy !== undefined) pieces.push([`served by ${targetOf(servedBy, call)}`, colors.cyan])
  // The other reasons for which an answer ends are as good as this one only if somebody looks at them.
  if (typeof stop === "string" && stop !== "end_turn") pieces.push([`stopped by ${clean(stop)}`, colors.yellow])
  if (typeof id === "string") pieces.push([clean(id), colors.dim])

  const lines: Array<string> = []
  let room = 0
  for (const [text, hue] of pieces) {
    const fits = lines.length > 0 && text.length + 3 <= room
    const shown = fit(text, width - 2)
    if (fits) lines[lines.length - 1] += colors.dim(" · ") + hue(shown)
    else lines.push("  " + hue(shown))
    room = fits ? room - text.length - 3 : width - 2 - shown.length
  }
  return lines
}

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

const isWait = (span: Tracer.Span): boolean => span.attributes.has(Attributes.waitKind)

const labelOf = (span: Tracer.Span): string => {
  const attempt = span.attributes.get(Attributes.attemptNumber)
  return clean(typeof attempt === "number" ? `${span.name} #${attempt}` : span.name)
}

interface OutcomeText {
  readonly text: string
  readonly hue: "red" | "yellow" | "cyan"
  readonly ok: boolean
}

const outcomeOf = (span: Tracer.Span): OutcomeText => {
  const { attributes, status } = span
  const ended = status._tag === "Ended" ? status.exit : undefined
  const error = attributes.get(Attributes.errorType)
  const cancelled = ended?._tag === "Failure" && Cause.hasInterruptsOnly(ended.cause)
  const outcome = attributes.get(Attributes.outcome) ??
    (ended === undefined ? "unfinished" : cancelled ? "cancelled" : ended._tag === "Failure" ? "error" : "success")
  const ok = outcome === "success" && error === undefined
  // What an error is says more than that it is one.
  const first = attributes.get(Attributes.httpResponseStatusCode) ??
    (outcome === "error" && error !== undefined ? "" : outcome)
  const cut = outcome === "cancelled" && first !== outcome ? outcome : undefined
  return {
    text: clean([first, error, cut].filter((part) => part !== undefined && part !== "").join(" ")),
    hue: ok ? "cyan" : outcome === "cancelled" || outcome === "unfinished" ? "yellow" : "red",
    ok
  }
}

/** How a wait ended, unless it was for its turn to come. */
const waitOutcomeOf = ({ attributes }: Tracer.Span): OutcomeText => {
  const outcome = attributes.get(Attributes.waitOutcome) ?? "granted"
  return { text: outcome === "granted" ? "" : clean(String(outcome)), hue: "yellow", ok: outcome === "granted" }
}

const fallbackLine = ({ attributes }: Fallback, offset: number, call: Call): Line => ({
  label: `→ ${targetOf(attributes?.[Attributes.fallbackTo], call)}`,
  depth: 1,
  offset,
  duration: undefined,
  outcome: { text: clean(String(attributes?.[Attributes.fallbackReason])), hue: "yellow", ok: false },
  isWait: false
})

/** A model, and where it is asked unless that is where the call began. */
const targetOf = (target: unknown, { span }: Call): string => {
  const here = ` at ${String(span.attributes.get(Attributes.serverAddress))}`
  const text = clean(String(target))
  return text.endsWith(here) ? text.slice(0, -here.length) : text
}

const firstContentOf = (call: Call, start: bigint): number | undefined => {
  const seconds = call.span.attributes.get(Attributes.responseTimeToFirstChunk)
  if (typeof seconds === "number") return seconds * 1000
  return call.firstContentAt === undefined ? undefined : millis(call.firstContentAt - start)
}

const endOf = (span: Tracer.Span, otherwise: bigint): bigint =>
  span.status._tag === "Ended" ? span.status.endTime : otherwise

const millis = (nanos: bigint): number => Math.max(Number(nanos) / 1e6, 0)
