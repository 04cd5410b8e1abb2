/**
 * Whose turn it is: the gate as a state machine, without a clock and without effects.
 *
 * Calls wait in a queue for each tenant and priority. Turns go round the tenants; a tenant's interactive calls go before
 * its batch ones. The one whose turn it is starts as soon as there is a permit and the rates have all that it needs;
 * until then nobody overtakes it, so a large call is not starved by small ones. Places are not fixed at arrival: who
 * comes with an empty queue is next in the round.
 */
import { Deadlines, type Due } from "./Deadlines.ts"
import type { Mark, Need } from "./Rates.ts"
import type { Amounts } from "./Stores.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @category models @since 0.2.0 */
export type Priority = "interactive" | "batch"

/** Why a call may not wait: no room, no time, or nobody to wait for. @internal */
export type Refusal = "full" | "deadline" | "closed"

/** What rates the machine asks. @internal */
export interface TurnRates {
  /** How long until it may be taken; Infinity where it will be told. */
  readonly waitFor: (need: Need, now: number) => number
  readonly take: (need: Need, now: number) => Mark
  /** How long, at the least, until it may be taken by a call that stands behind others. */
  readonly lasts: (before: Amounts, need: Need, now: number) => number
  /** Until when no call can start. */
  readonly closedUntil: number
}

/** How much of the turns a tenant may have. @category options @since 0.2.0 */
export interface TenantOptions {
  /** How many turns it has for one of others'. @default 1 */
  readonly weight?: number | undefined
  /** How many of its calls may be in flight. @default as many as there are permits */
  readonly max?: number | undefined
}

/** @internal */
export interface TurnsOptions {
  /** How many calls may be in flight. */
  readonly level: number
  /** How many may wait in each queue. */
  readonly queue: number
  readonly rates: TurnRates
  readonly tenant: (name: string) => TenantOptions
}

/** One for all that wait. */
const unmarked: Mark = {}

/** A call. @internal */
export class Turn implements Due {
  readonly tenant: string
  readonly priority: Priority
  readonly need: Need
  readonly deadline: number
  /** What happens when it may start, or must leave. */
  readonly notify: (refusal: Refusal | undefined) => void
  state: "new" | "waiting" | "started" | "left" = "new"
  /** What it took of the rates. */
  mark: Mark = unmarked
  /** When its turn might have come at the earliest, where that was past its deadline. */
  earliest = Number.NEGATIVE_INFINITY
  /** When it started, and how many were in flight then, with it. */
  startedAt = Infinity
  inFlight = 0
  place = -1
  next: Turn | undefined
  previous: Turn | undefined

  constructor(call: Pick<Turn, "tenant" | "priority" | "need" | "deadline">, notify: Turn["notify"]) {
    this.tenant = call.tenant
    this.priority = call.priority
    this.need = call.need
    this.deadline = call.deadline
    this.notify = notify
  }
}

// -----------------------------------------------------------------------------
// queues
// -----------------------------------------------------------------------------

/** First come, first served; anyone may leave. */
class Queue {
  first: Turn | undefined
  last: Turn | undefined
  size = 0
  /** What all of them need together. */
  inputTokens = 0
  outputTokens = 0

  push(turn: Turn): void {
    turn.previous = this.last
    if (this.last === undefined) this.first = turn
    else this.last.next = turn
    this.last = turn
    this.count(turn, 1)
  }

  remove(turn: Turn): void {
    if (turn.previous === undefined) this.first = turn.next
    else turn.previous.next = turn.next
    if (turn.next === undefined) this.last = turn.previous
    else turn.next.previous = turn.previous
    turn.next = turn.previous = undefined
    this.count(turn, -1)
  }

  private count({ need }: Turn, sign: 1 | -1): void {
    this.size += sign
    this.inputTokens += sign * need.inputTokens
    this.outputTokens += sign * need.outputTokens
  }
}

/** After so many interactive turns a batch call of the same tenant has one: it waits longer, and never for ever. */
const INTERACTIVE_TURNS = 8

class Tenant {
  readonly name: string
  readonly weight: number
  readonly max: number
  readonly interactive = new Queue()
  readonly batch = new Queue()
  inFlight = 0
  /** Turns that it has left in this round, and had since its last batch call. */
  turns = 0
  private ahead = 0
  /** Its neighbours in the round; none where it has nobody to start. */
  next: Tenant | undefined
  previous: Tenant | undefined

  constructor(name: string, { max = Infinity, weight = 1 }: TenantOptions) {
    this.name = name
    this.weight = weight
    this.max = max
  }

  get head(): Turn | undefined {
    const { batch, interactive } = this
    return batch.first !== undefined && (interactive.first === undefined || this.ahead >= INTERACTIVE_TURNS)
      ? batch.first
      : interactive.first
  }

  get isIdle(): boolean {
    return this.inFlight === 0 && this.interactive.size === 0 && this.batch.size === 0
  }

  started(turn: Turn): void {
    this.inFlight++
    if (turn.priority === "batch" || this.batch.size === 0) this.ahead = 0
    else this.ahead++
  }
}

// -----------------------------------------------------------------------------
// the machine
// -----------------------------------------------------------------------------

/** @internal */
export class Turns {
  level: number
  inFlight = 0
  waiting = 0
  /** Whether the next in turn has a permit and waits for rate. */
  waitsForRate = false
  /** When the level was last reached: more than it could not start, or could not have. */
  fullAt = Number.NEGATIVE_INFINITY
  private readonly options: TurnsOptions
  private readonly tenants = new Map<string, Tenant>()
  private readonly deadlines = new Deadlines<Turn>()
  /** The tenant whose turn it is, in a ring of those that have somebody to start. */
  private current: Tenant | undefined

  constructor(options: TurnsOptions) {
    this.options = options
    this.level = options.level
  }

  /** A call comes: it starts, waits, or is told why it may not. */
  enter(turn: Turn, now: number): "started" | "waiting" | Refusal {
    const tenant = this.tenantOf(turn.tenant)
    const { rates } = this.options
    if (
      this.waiting === 0 && this.inFlight < this.level && tenant.inFlight < tenant.max &&
      rates.waitFor(turn.need, now) <= 0
    ) {
      this.start(turn, tenant, now)
      return "started"
    }
    const queue = tenant[turn.priority]
    const earliest = now + this.atLeast(queue, turn.need, now)
    const refusal = queue.size >= this.options.queue ? "full" : earliest >= turn.deadline ? "deadline" : undefined
    if (refusal !== undefined) {
      turn.state = "left"
      turn.earliest = earliest
      this.forget(tenant)
      return refusal
    }
    turn.state = "waiting"
    queue.push(turn)
    this.deadlines.add(turn)
    this.waiting++
    this.settleIn(tenant)
    return "waiting"
  }

  /** A call gives up waiting; answers whether others waited for it alone. */
  leave(turn: Turn): boolean {
    if (turn.state !== "waiting") return false
    const wasNext = this.current?.head === turn
    this.remove(turn, this.tenantOf(turn.tenant))
    return wasNext
  }

  /** Sends away all who wait. */
  close(): void {
    for (let turn = this.deadlines.first; turn !== undefined; turn = this.deadlines.first) this.refuse(turn, "closed")
  }

  /** A call that had started is over. */
  release(turn: Turn): void {
    if (turn.state !== "started") return
    turn.state = "left"
    this.inFlight--
    const tenant = this.tenantOf(turn.tenant)
    tenant.inFlight--
    this.settleIn(tenant)
  }

  /** Starts all who may, and tells when to look again; nothing, where something else must happen first. */
  next(now: number): number | undefined {
    const { rates } = this.options
    this.expire(now, rates.closedUntil)
    this.waitsForRate = false
    while (this.current !== undefined && this.inFlight < this.level) {
      const tenant = this.current
      // Whoever is in the ring has somebody to start.
      const turn = tenant.head!
      const wait = rates.waitFor(turn.need, now)
      if (wait > 0) {
        // Nobody stands before it, so this is when its turn comes.
        if (Number.isFinite(wait) && now + wait >= turn.deadline) {
          turn.earliest = now + wait
          this.refuse(turn, "deadline")
          continue
        }
        this.waitsForRate = true
        return this.soonest(now + wait)
      }
      this.takeOut(turn, tenant)
      this.start(turn, tenant, now)
      turn.notify(undefined)
    }
    if (this.current !== undefined) this.fullAt = now
    return this.soonest(Infinity)
  }

  /** What the next so many in turn need: an approximation of their order, exact in what they need. */
  wanted(count: number): Array<Need> {
    const needs: Array<Need> = []
    const most = Math.min(count, this.level - this.inFlight)
    const heads: Array<Turn | undefined> = []
    for (let tenant = this.current; tenant !== undefined && heads.length < most; tenant = tenant.next) {
      if (heads.length > 0 && tenant === this.current) break
      heads.push(tenant.head)
    }
    for (let i = 0, empty = 0; needs.length < most && empty < heads.length; i = (i + 1) % heads.length) {
      const head = heads[i]
      empty = head === undefined ? empty + 1 : 0
      if (head === undefined) continue
      needs.push(head.need)
      heads[i] = head.next
    }
    return needs
  }

  // ---------------------------------------------------------------------------

  private start(turn: Turn, tenant: Tenant, now: number): void {
    turn.state = "started"
    turn.mark = this.options.rates.take(turn.need, now)
    turn.startedAt = now
    turn.inFlight = ++this.inFlight
    if (this.inFlight >= this.level) this.fullAt = now
    tenant.started(turn)
    // The round goes on when its turns are used up.
    if (--tenant.turns <= 0) {
      tenant.turns = tenant.weight
      if (this.current === tenant) this.current = tenant.next
    }
    this.settleIn(tenant)
  }

  private refuse(turn: Turn, why: Refusal): void {
    this.remove(turn, this.tenantOf(turn.tenant))
    turn.notify(why)
  }

  private remove(turn: Turn, tenant: Tenant): void {
    turn.state = "left"
    this.takeOut(turn, tenant)
    this.settleIn(tenant)
  }

  private takeOut(turn: Turn, tenant: Tenant): void {
    tenant[turn.priority].remove(turn)
    this.deadlines.remove(turn)
    this.waiting--
  }

  private expire(now: number, closedUntil: number): void {
    const until = Math.max(now, closedUntil)
    for (let turn = this.deadlines.first; turn !== undefined && turn.deadline <= until; turn = this.deadlines.first) {
      if (turn.deadline > now) turn.earliest = closedUntil
      this.refuse(turn, "deadline")
    }
  }

  private soonest(time: number): number | undefined {
    const soonest = Math.min(time, this.deadlines.first?.deadline ?? Infinity)
    return soonest === Infinity ? undefined : soonest
  }

  /** How long a call would wait at the least, behind those who are before it in its queue. */
  private atLeast(queue: Queue, need: Need, now: number): number {
    const { inputTokens, outputTokens, size } = queue
    const before = { requests: size, inputTokens, outputTokens, tokens: inputTokens + outputTokens }
    return this.options.rates.lasts(before, need, now)
  }

  private tenantOf(name: string): Tenant {
    let tenant = this.tenants.get(name)
    if (tenant === undefined) this.tenants.set(name, tenant = new Tenant(name, this.options.tenant(name)))
    return tenant
  }

  /** Puts a tenant into the round, or takes it out, as it has somebody to start; forgets one that is gone. */
  private settleIn(tenant: Tenant): void {
    const belongs = tenant.head !== undefined && tenant.inFlight < tenant.max
    if (belongs && tenant.next === undefined) this.join(tenant)
    else if (!belongs && tenant.next !== undefined) this.part(tenant)
    this.forget(tenant)
  }

  private forget(tenant: Tenant): void {
    if (tenant.isIdle) this.tenants.delete(tenant.name)
  }

  /** At the end of the round. */
  private join(tenant: Tenant): void {
    tenant.turns = tenant.weight
    const { current } = this
    if (current === undefined) {
      this.current = tenant.next = tenant.previous = tenant
      return
    }
    const last = current.previous!
    last.next = tenant
    tenant.previous = last
    tenant.next = current
    current.previous = tenant
  }

  private part(tenant: Tenant): void {
    const { next, previous } = tenant
    if (next === tenant) this.current = undefined
    else {
      previous!.next = next
      next!.previous = previous
      if (this.current === tenant) this.current = next
    }
    tenant.next = tenant.previous = undefined
  }
}
