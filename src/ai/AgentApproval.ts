/**
 * Whether a call may be run: by what its tool says (`needsApproval`), and then by who answers for it.
 *
 * Where a tool's own rule breaks, an approval is needed.
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Settings } from "./AgentToolOptions.ts"
import * as AgentTranscript from "./AgentTranscript.ts"
import type { AnyToolkit } from "./TracedToolkit.ts"

/** Whether a call may be run; undefined where that has to be waited for. @internal */
export const approvalFor = Effect.fnUntraced(function*(
  { approve }: Settings,
  toolkit: AnyToolkit,
  call: AgentTranscript.Call,
  messages: ReadonlyArray<Prompt.Message>
): Effect.fn.Return<AgentTranscript.Approval | undefined> {
  const tool = Object.hasOwn(toolkit.tools, call.name) ? toolkit.tools[call.name] : undefined
  let needed = tool?.needsApproval ?? false
  if (typeof needed === "function") {
    const isNeeded = needed
    const decoded = Schema.isSchema(tool?.parametersSchema)
      ? Schema.decodeUnknownEffect(tool.parametersSchema as Schema.Decoder<unknown>)(call.params)
      : Effect.succeed(call.params)
    needed = yield* decoded.pipe(
      Effect.matchEffect({
        // What cannot be decoded is not run either.
        onFailure: () => Effect.succeed(false),
        onSuccess: (params) => {
          const answer = isNeeded(params, { toolCallId: call.toolCallId, messages })
          return Effect.isEffect(answer) ? answer : Effect.succeed(answer)
        }
      }),
      // Who cannot tell that it is harmless has to ask.
      Effect.catchDefect(() => Effect.succeed(true))
    )
  }
  if (!needed) return { approved: true }
  return approve === undefined
    ? undefined
    : AgentTranscript.approvalOf(yield* approve(AgentTranscript.requestOf(call)))
})
