/**
 * The events of an answer as the object that it is becoming: parts of it as they come, and the whole of it last.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pipeable from "effect/Pipeable"
import type * as Pull from "effect/Pull"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as ObjectAnswer from "../request/ObjectAnswer.ts"
import type * as StructuredOutput from "../request/StructuredOutput.ts"
import { Accumulator } from "./Accumulator.ts"
import type { RestartEvent, StreamEvent } from "./Event.ts"
import { ObjectPrefix } from "./ObjectPrefix.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

type Leaf =
  | string
  | number
  | bigint
  | boolean
  | symbol
  | null
  | undefined
  | Date
  | RegExp
  | URL
  | Uint8Array
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | Pipeable.Pipeable
  | ((...args: never) => unknown)

/**
 * A value of which any part may be missing: elements of a list from its end, any property of the rest.
 *
 * @category models
 * @since 0.2.0
 */
export type DeepPartial<A> = unknown extends A ? A
  : A extends Leaf ? A
  : A extends ReadonlyArray<infer Item> ? ReadonlyArray<DeepPartial<Item>>
  : { readonly [K in keyof A]?: DeepPartial<A[K]> }

/**
 * What is known of an object while it arrives; then the object. As long as what comes fits the schema, each has all of
 * the one before.
 *
 * @category models
 * @since 0.2.0
 */
export type ObjectPart<A, Receipt> =
  | { readonly _tag: "Partial"; readonly value: DeepPartial<A> }
  | { readonly _tag: "Complete"; readonly value: A; readonly receipt: Receipt }

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** What is known of the call that answered. */
interface Answered {
  readonly requestId: string | undefined
  readonly attempts: number
  readonly billed: ClaudeError.Usage | undefined
}

/** The parts that a pull of events makes, one for each read at most. @internal */
export const parts = <A, RD, Receipt extends Answered>(
  pull: Pull.Pull<ReadonlyArray<StreamEvent<Receipt>>, ClaudeError.ClaudeError>,
  asked: StructuredOutput.Asked<A, RD>,
  receiptOf: (event: Partial<Receipt>) => Receipt
): Pull.Pull<Arr.NonEmptyReadonlyArray<ObjectPart<A, Receipt>>, ClaudeError.ClaudeError, void, RD> => {
  const accumulator = new Accumulator()
  let prefix: ObjectPrefix | undefined = new ObjectPrefix(asked.whole)
  let isTold = false
  /** The last block was of a tool. */
  let isAfterTool = false
  /** The model is made to call a tool, and the block of that call. */
  let isCall = false
  let answer: number | undefined

  const told = Effect.fnUntraced(function*(
    events: ReadonlyArray<StreamEvent<Receipt>>
  ): Effect.fn.Return<ReadonlyArray<ObjectPart<A, Receipt>>, ClaudeError.ClaudeError, RD> {
    let json = ""
    let receipt: Receipt | undefined
    accumulator.add(events.filter(isOfMessage))
    for (const event of events) {
      if (event.type === "message_start") isCall = asked.isCalledBy(event.message.model)
      else if (event.type === "content_block_start") {
        const { content_block: block, index } = event
        const isCalled = block.type === "tool_use" && block.name === asked.tool
        if (answer === undefined && (isCalled || block.type === "text" && isAfterTool)) {
          // What was said before is no part of it, and what was told of that is not taken back.
          prefix = isTold ? undefined : new ObjectPrefix(asked.whole)
          json = ""
          if (isCalled) answer = index
        }
        isAfterTool = ObjectAnswer.isOfTool(block) || isAfterTool && block.type !== "text"
      } else if (event.type === "content_block_delta") {
        const { delta, index } = event
        if (delta.type === "text_delta" && answer === undefined && !isCall) json += delta.text
        else if (delta.type === "input_json_delta" && index === answer) json += delta.partial_json
      } else if (event.type === "message_stop") receipt = receiptOf(event)
    }
    if (receipt !== undefined) return [{ _tag: "Complete", value: yield* whole(receipt), receipt }]
    if (json === "" || prefix === undefined) return []
    prefix.add(json)
    // The services that its parts are decoded with are those of the whole.
    const next = yield* prefix.next(asked.pick) as Effect.Effect<{ readonly value: unknown } | void, never, RD>
    if (next === undefined) return []
    isTold = true
    // It is a part of an `A` by its schema.
    return [{ _tag: "Partial", value: next.value as DeepPartial<A> }]
  })

  const whole = Effect.fnUntraced(function*(
    { attempts, billed: usage, requestId }: Receipt
  ): Effect.fn.Return<A, ClaudeError.ClaudeError, RD> {
    const message = yield* Effect.mapError(
      accumulator.folded,
      (error) => Failure.enrich(error, { attempts, usage, partial: accumulator.partial() })
    )
    return yield* Effect.mapError(
      ObjectAnswer.read(asked, message),
      (issue) => ObjectAnswer.mismatch(asked, message, issue, 1, { attempts, usage, requestId })
    )
  })

  const next: ReturnType<typeof parts<A, RD, Receipt>> = Effect.flatMap(
    pull,
    (events) => Effect.filterOrElse(told(events), Arr.isReadonlyArrayNonEmpty, () => next)
  )
  return next
}

/** A stream of parts is asked to fail rather than to begin again. */
const isOfMessage = <End>(event: StreamEvent<End>): event is Exclude<StreamEvent<End>, RestartEvent> =>
  event.type !== "restart"
