/** The tools of composed programs, some of which fail, are slow, die or need an approval, and what is remembered of them. */
import { Data, Effect, Layer, Schema } from "effect"
import { Agent, AgentTool } from "effect-claude/ai"
import { type Prompt, Tool, Toolkit } from "effect/ai"
import { ASKED_PII, CANARY, type Dice } from "./composedServer.ts"

// -----------------------------------------------------------------------------
// what is remembered of it
// -----------------------------------------------------------------------------

/** A conversation that has come to an end, in whatever way; it must go on. */
export interface Kept {
  readonly of: string
  readonly prompt: Prompt.Prompt
}

/** What programs tell of themselves, for who looks at it in the end. */
export const makeMemory = (isPatient = false) => ({
  /** Nobody leaves before the end. */
  isPatient,
  /** How often tools with an effect have run, and how often one was approved, by the number of the call. */
  shipped: new Map<number, number>(),
  paid: new Map<number, number>(),
  approved: new Map<number, number>(),
  /** Calls that were approved for agents. */
  ofAgents: new Set<number>(),
  kept: new Map<object, Kept>(),
  /** What runs of agents and documents say that they cost, by the attribute of the span that they ran in. */
  costs: [] as Array<
    { readonly of: string; readonly id: string; readonly cost: number | undefined; readonly reason: string }
  >,
  ids: 0
})
export type Memory = ReturnType<typeof makeMemory>

export const count = (counts: Map<number, number>, number: number) =>
  void counts.set(number, (counts.get(number) ?? 0) + 1)

// -----------------------------------------------------------------------------
// failures of its own
// -----------------------------------------------------------------------------

/** What a consumer fails with is its own. */
export const ofConsumer = "the consumer's"
/** What a tool dies of. */
export class Injected extends Data.TaggedError("Injected")<{ readonly message: string }> {}
/** What a tool fails with. */
export class Broke extends Schema.TaggedError<Broke>()("Broke", { message: Schema.String }) {}

// -----------------------------------------------------------------------------
// tools
// -----------------------------------------------------------------------------

const parameters = Schema.Struct({ number: Schema.Int, text: Schema.String })
const success = Schema.Struct({ number: Schema.Int, text: Schema.String })

/** Whether a call has to be approved. */
export const needsApproval = ({ number }: { readonly number: number }): boolean => number % 3 !== 0

const Few = Toolkit.make(
  Tool.make("find", { parameters, success }),
  Tool.make("ship", { parameters, success })
)
const Many = Toolkit.merge(
  Few,
  Toolkit.make(
    Tool.make("slow", { parameters, success }),
    Tool.make("fails", { parameters, failure: Broke, failureMode: "return" }),
    Tool.make("breaks", { parameters, failure: Broke }),
    Tool.make("dies", { parameters }),
    Tool.make("pay", { parameters, success, needsApproval })
  )
)
const helper = AgentTool.make(
  Agent.make({ name: "helper", toolkit: Few, instructions: `${CANARY} help`, limits: { turns: 3, cost: 5 } }),
  { name: "helper", description: "Helps." }
)
export const all = Toolkit.merge(Many, helper.toolkit)

const found = ({ number }: { readonly number: number }) => ({ number, text: `${CANARY} found, of ${ASKED_PII}` })

export const tools = (memory: Memory, { whole }: Dice) => {
  const acts = (counts: Map<number, number>) => (params: typeof parameters.Type) =>
    Effect.suspend(() => {
      count(counts, params.number)
      return Effect.as(Effect.sleep(whole(4)), found(params))
    })
  const few = Few.toLayer({ find: (params) => Effect.succeed(found(params)), ship: acts(memory.shipped) })
  return Layer.mergeAll(
    helper.layer.pipe(Layer.provide(few)),
    Many.toLayer({
      find: (params) => Effect.succeed(found(params)),
      ship: acts(memory.shipped),
      slow: (params) => Effect.as(Effect.sleep(whole(60)), found(params)),
      fails: () => Effect.fail(new Broke({ message: `${CANARY} fails` })),
      // What fails in the middle of an answer leaves it.
      breaks: () => memory.isPatient ? Effect.void : Effect.fail(new Broke({ message: `${CANARY} breaks` })),
      dies: () => memory.isPatient ? Effect.void : Effect.die(new Injected({ message: `${CANARY} dies` })),
      pay: acts(memory.paid)
    })
  )
}
