/**
 * The metrics of admission, and their series: what a client knows of levels, limits, circuits, budgets and caches.
 *
 * A metric has one unit, so what is counted in requests and in tokens, or in money and in tokens, has a name for each.
 */
import * as Attributes from "./Attributes.ts"
import { counter, type Gauge, gauge, keep, type Labels } from "./Metrics.ts"

const level = gauge("claude.client.concurrency.level", "{request}", "How many requests may be in flight")
const tokenLimit = gauge("claude.ratelimit.limit", "{token}", "Tokens that a rate limit allows in its window")
const tokensRemaining = gauge(
  "claude.ratelimit.remaining",
  "{token}",
  "Tokens that are left of a rate limit, less what is reserved: as of the last response, until the reset"
)
const requestLimit = gauge("claude.ratelimit.requests.limit", "{request}", "Requests that a rate limit allows")
const requestsRemaining = gauge(
  "claude.ratelimit.requests.remaining",
  "{request}",
  "Requests that are left of a rate limit: as of the last response, until the reset"
)
const rateReset = gauge("claude.ratelimit.reset", "s", "Time until a rate limit is whole again")
const circuitState = gauge("claude.circuit.state", "{state}", "A circuit: 0 closed, 1 half-open, 2 open")
const circuitTransitions = counter("claude.circuit.transitions", "{transition}", "Circuits that moved")
const budgetLimit = gauge("claude.budget.limit", "{USD}", "What a budget allows in its window")
const budgetRemaining = gauge("claude.budget.remaining", "{USD}", "What is left of a budget, less what is reserved")
const budgetTokenLimit = gauge("claude.budget.tokens.limit", "{token}", "Tokens that a budget allows in its window")
const budgetTokensRemaining = gauge(
  "claude.budget.tokens.remaining",
  "{token}",
  "Tokens that are left of a budget, less what is reserved"
)
const budgetRejections = counter("claude.budget.rejections", "{request}", "Calls that a budget turned away")
const storeUnavailable = counter(
  "claude.store.unavailable",
  "{request}",
  "Questions that a shared store did not answer"
)
const cacheLookups = counter("claude.cache.lookups", "{request}", "Calls that asked the response cache, by its answer")
const promptCacheMisses = counter(
  "claude.prompt_cache.misses",
  "{request}",
  "Calls whose marked prefix had been cached, and that did not hit"
)

/** Requests are counted by a metric of their own, whose name tells the kind. */
const byKind = (
  tokens: (labels: Labels) => Gauge,
  requests: (labels: Labels) => Gauge
): (kind: string) => (model: string) => Gauge =>
  keep((kind) =>
    keep((model) =>
      (kind === "requests" ? requests : tokens)({
        [Attributes.rateLimitKind]: kind,
        [Attributes.requestModel]: model
      })
    )
  )

const byUnit = (usd: (labels: Labels) => Gauge, tokens: (labels: Labels) => Gauge) => ({
  USD: keep((name) => usd({ [Attributes.budgetName]: name })),
  tokens: keep((name) => tokens({ [Attributes.budgetName]: name }))
})

/** The series of admission, which belong to a client. @internal */
export class AdmissionSeries {
  readonly level = keep((model) => level({ [Attributes.requestModel]: model }))
  readonly limit = byKind(tokenLimit, requestLimit)
  readonly remaining = byKind(tokensRemaining, requestsRemaining)
  readonly reset = keep((kind) =>
    keep((model) => rateReset({ [Attributes.rateLimitKind]: kind, [Attributes.requestModel]: model }))
  )
  readonly circuitState = keep((key) => circuitState({ [Attributes.circuitKey]: key }))
  readonly transitions = keep((move) => {
    const [from, to] = move.split(" ")
    return circuitTransitions({ [Attributes.circuitFrom]: from!, [Attributes.circuitTo]: to! })
  })
  readonly budgetLimit = byUnit(budgetLimit, budgetTokenLimit)
  readonly budgetRemaining = byUnit(budgetRemaining, budgetTokensRemaining)
  readonly budgetRejections = keep((name) => budgetRejections({ [Attributes.budgetName]: name }))
  readonly storeUnavailable = keep((name) => storeUnavailable({ [Attributes.storeName]: name }))
  readonly cache = keep((outcome) => cacheLookups({ [Attributes.cacheOutcome]: outcome }))
  readonly promptCacheMissed = keep((model) => promptCacheMisses({ [Attributes.requestModel]: model }))
}
