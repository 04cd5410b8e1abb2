import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Context, DateTime, Deferred, Effect, Fiber, Result, Schema, SchemaGetter, Stream } from "effect"
import { Claude, type ClaudeError } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as JsonSubset from "../../src/request/JsonSubset.ts"
import * as ObjectSchema from "../../src/request/ObjectSchema.ts"
import { generator } from "../decode/schemas.ts"
import { hi, sent, settle, setUp } from "./setUp.ts"
// What is loaded when it is first needed would come by the machine's clock.
import "../../src/decode/ObjectParts.ts"

const Trip = Schema.Struct({
  to: Schema.String,
  on: Schema.DateTimeUtcFromString,
  days: Schema.Int,
  stops: Schema.Array(Schema.Struct({ place: Schema.NonEmptyString, nights: Schema.optionalKey(Schema.Int) })),
  paid: Schema.Union([
    Schema.TaggedStruct("Card", { number: Schema.String }),
    Schema.TaggedStruct("Cash", { note: Schema.String })
  ])
})
const trip = {
  to: "Bern",
  on: "2027-01-31",
  days: 12,
  stops: [{ place: "Thun", nights: null }, { place: "Spiez", nights: 2 }],
  paid: { _tag: "Card", number: "42" }
}
const old = { ...hi, model: "claude-sonnet-4-20250514" }

/** Each delta a read of its own. */
const slowly = { pace: "1 milli", chunk: 1 } as const

const run = <A, E>(
  effect: Effect.Effect<A, E, Claude.Claude | ScriptedTransport.ScriptedTransport>,
  layer: ReturnType<typeof setUp>["layer"]
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    // A module is loaded on the way of an object, which no clock hurries.
    for (let n = 0; n < 100 && fiber.pollUnsafe() === undefined; n++) {
      yield* settle
      yield* TestClock.adjust("1 minute")
    }
    return yield* Fiber.join(fiber)
  }).pipe(Effect.provide(layer))

const parts = <A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>, request: Claude.MessageRequest = hi) =>
  Stream.runCollect(Claude.streamObject(schema, request))

/** What came before it failed, and how it did. */
const until = <A, R>(stream: Stream.Stream<A, ClaudeError.ClaudeError, R>) =>
  Effect.suspend(() => {
    const came: Array<A> = []
    return Stream.runForEach(stream, (part) => Effect.sync(() => came.push(part))).pipe(
      Effect.flip,
      Effect.map((error) => ({ came, error }))
    )
  })

const valuesOf = (parts: ReadonlyArray<{ readonly _tag: string; readonly value: unknown }>) =>
  parts.filter(({ _tag }) => _tag === "Partial").map(({ value }) => value)

describe("streamObject", () => {
  it("has the types of its schema", () => {
    const stream = Claude.streamObject(Trip, hi)
    expectTypeOf(stream).toEqualTypeOf<
      Stream.Stream<Claude.ObjectPart<typeof Trip.Type>, ClaudeError.ClaudeError, Claude.Claude>
    >()
    expectTypeOf<Claude.DeepPartial<typeof Trip.Type>["on"]>().toEqualTypeOf<DateTime.Utc | undefined>()
    expectTypeOf<NonNullable<Claude.DeepPartial<typeof Trip.Type>["stops"]>>().toEqualTypeOf<
      ReadonlyArray<{ readonly place?: string; readonly nights?: number }>
    >()
  })

  for (const [how, request] of [["in its format", hi], ["as a call", old]] as const) {
    it.effect(`tells what has come, decoded, and then the whole with its receipt: ${how}`, () =>
      Effect.gen(function*() {
        const answer = request === old
          ? Answer.tool("answer", trip, { ...slowly, text: "{\"to\":\"Nowhere\"}" })
          : Answer.json(trip, slowly)
        const { layer } = setUp([answer])
        const all = yield* run(parts(Trip, request), layer)
        const last = all.at(-1)!
        assert(last._tag === "Complete")
        const on = DateTime.makeUnsafe("2027-01-31T00:00:00Z")
        assert.deepStrictEqual(last.value, {
          ...trip,
          on,
          stops: [{ place: "Thun" }, { place: "Spiez", nights: 2 }],
          paid: { _tag: "Card" as const, number: "42" }
        })
        assert.strictEqual(last.receipt.attempts, 1)
        assert.isString(last.receipt.requestId)
        assert.isAbove(last.receipt.billed?.output_tokens ?? 0, 0)
        const before = { to: "Bern", on, days: 12 }
        const thun = { place: "Thun" }
        assert.deepStrictEqual(valuesOf(all), [
          {},
          { to: "" },
          { to: "B" },
          { to: "Be" },
          { to: "Ber" },
          { to: "Bern" },
          { to: "Bern", on },
          before,
          { ...before, stops: [] },
          { ...before, stops: [{}] },
          ...["T", "Th", "Thu", "Thun"].map((place) => ({ ...before, stops: [{ place }] })),
          { ...before, stops: [thun, {}] },
          ...["S", "Sp", "Spi", "Spie", "Spiez"].map((place) => ({ ...before, stops: [thun, { place }] })),
          { ...before, stops: [thun, { place: "Spiez", nights: 2 }] },
          ...[{}, { number: "" }, { number: "4" }, { number: "42" }].map((paid) => ({
            ...before,
            stops: [thun, { place: "Spiez", nights: 2 }],
            paid: { _tag: "Card", ...paid }
          }))
        ])
      }))
  }

  it.effect("tells no more than the whole, where all of it comes in one read", () =>
    Effect.gen(function*() {
      const { layer } = setUp([Answer.json(trip)])
      assert.deepStrictEqual((yield* run(parts(Trip), layer)).map(({ _tag }) => _tag), ["Complete"])
    }))

  it.effect("does not ask again for one that does not fit", () =>
    Effect.gen(function*() {
      const { layer } = setUp([Answer.json({ ...trip, days: "many" }, slowly)], { repair: 3 })
      const [{ came, error }, requests] = yield* run(
        Effect.all([until(Claude.streamObject(Trip, hi)), sent]),
        layer
      )
      assert(error.reason._tag === "SchemaMismatch")
      assert.match(error.reason.issue, /days/)
      assert.strictEqual(error.partial?.content[0]?.type, "text")
      assert.isAbove(error.usage?.output_tokens ?? 0, 0)
      assert.strictEqual(requests.length, 1)
      assert.notProperty(valuesOf(came).at(-1), "days")
      assert.property(valuesOf(came).at(-1), "stops")
    }))

  for (const stopReason of ["max_tokens", "refusal"] as const) {
    it.effect(`names what stopped it: ${stopReason}`, () =>
      Effect.gen(function*() {
        for (const text of ["{\"to\":\"Be", JSON.stringify(trip)]) {
          const { layer } = setUp([Answer.text(text, { stopReason, ...slowly })])
          const { came, error } = yield* run(until(Claude.streamObject(Trip, hi)), layer)
          assert(error.reason._tag === "SchemaMismatch")
          assert.strictEqual(error.reason.stopReason, stopReason)
          assert.include(error.message, stopReason)
          assert.deepInclude(valuesOf(came), { to: "Be" })
        }
      }))
  }

  it.effect("breaks as a stream does, also where the policy would begin again", () =>
    Effect.gen(function*() {
      const { layer } = setUp([Answer.reset("midStream", Answer.json(trip, slowly)), Answer.json(trip)], {
        onBreak: "restart"
      })
      const { came, error } = yield* run(until(Claude.streamObject(Trip, hi)), layer)
      assert.strictEqual(error.reason._tag, "StreamInterrupted")
      assert.strictEqual((valuesOf(came).at(-1) as { to: string }).to, "Bern")
    }))

  const caller = { type: "direct" } as const
  const search = { type: "server_tool_use", id: "s1", name: "web_search", input: {}, caller } as const
  const found = { type: "web_search_tool_result", tool_use_id: "s1", content: [], caller } satisfies Answer.Block
  const after = (text: string) =>
    Answer.content([{ type: "text", text }, search, found, { type: "text", text: "{\"n\":1}" }], slowly)
  const N = Schema.Struct({ n: Schema.Int })

  it.effect("begins with what is said after a tool that the server runs", () =>
    Effect.gen(function*() {
      const all = yield* run(parts(N, hi), setUp([after("I will look.")]).layer)
      assert.deepStrictEqual(valuesOf(all), [{}])
      assert.deepStrictEqual(all.at(-1)?.value, { n: 1 })
    }))

  it.effect("takes back nothing of an object that was begun before such a tool", () =>
    Effect.gen(function*() {
      const all = yield* run(parts(N, hi), setUp([after("{\"n\":2,")]).layer)
      assert.deepStrictEqual(valuesOf(all), [{}, { n: 2 }])
      assert.deepStrictEqual(all.at(-1)?.value, { n: 1 })
    }))

  it.effect("tells nothing of prose, and then that it does not fit", () =>
    Effect.gen(function*() {
      const { layer } = setUp([Answer.text("Here it is: {\"to\":\"Bern\"}", slowly)])
      const { came, error } = yield* run(until(Claude.streamObject(Trip, hi)), layer)
      assert.deepStrictEqual(came, [])
      assert.strictEqual(error.reason._tag, "SchemaMismatch")
    }))

  it.effect("refuses what cannot be sent", () =>
    Effect.gen(function*() {
      const { layer } = setUp([Answer.json({})])
      const schema = Schema.Struct({ a: Schema.Unknown })
      const [{ error }, requests] = yield* run(Effect.all([until(Claude.streamObject(schema, hi)), sent]), layer)
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.match(error.message, /at a\./)
      assert.strictEqual(requests.length, 0)
    }))

  it.effect("decodes with the services that its schema needs", () => {
    class Names
      extends Context.Service<Names, { readonly of: (id: string) => Effect.Effect<string> }>()("test/Names")
    {}
    const Name = Schema.String.pipe(Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.transformEffect((id: string) => Names.use((names) => names.of(id))),
      encode: SchemaGetter.transform((name: string) => name)
    }))
    const asked = Effect.provideService(parts(Schema.Struct({ ids: Schema.Array(Name) })), Names, {
      of: (id) => Effect.as(Effect.sleep("1 second"), id.toUpperCase())
    })
    return Effect.map(
      run(asked, setUp([Answer.json({ ids: ["a", "b"] }, slowly)]).layer),
      (all) =>
        assert.deepStrictEqual(all.map(({ value }) => value), [
          {},
          { ids: [] },
          // While the first was looked up, the rest has come.
          { ids: ["A"] },
          { ids: ["A", "B"] }
        ])
    )
  })

  it.effect("gives up its call when it is left", () =>
    Effect.gen(function*() {
      const { layer } = setUp([Answer.stall({ afterEvents: 12 }, Answer.json(trip, slowly))])
      yield* Effect.gen(function*() {
        const came = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          Stream.runForEach(Claude.streamObject(Trip, hi), () => Deferred.succeed(came, undefined)),
          { startImmediately: true }
        )
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* Deferred.await(came)
        yield* Fiber.interrupt(fiber)
        assert.isDefined((yield* sent)[0]?.closedAt)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("asks anew for an object of the cache that does not fit", () =>
    Effect.gen(function*() {
      const { layer } = setUp((_, n) => Answer.json(n === 0 ? { n: "x" } : { n }), { cache: true })
      const schema = Schema.Struct({ n: Schema.Int })
      const [first, second, requests] = yield* run(
        Effect.all([Effect.flip(parts(schema)), parts(schema), sent]),
        layer
      )
      assert.strictEqual(first.reason._tag, "SchemaMismatch")
      assert.deepStrictEqual(second.map(({ value }) => value), [{ n: 1 }])
      assert.strictEqual(requests.length, 2)
    }))

  it.effect("tells nothing of a text where a call was asked for, and takes it when it is whole", () =>
    Effect.gen(function*() {
      const all = yield* run(parts(Trip, old), setUp([Answer.json(trip, slowly)]).layer)
      assert.deepStrictEqual(all.map(({ _tag }) => _tag), ["Complete"])
    }))

  for (let seed = 1; seed <= 20; seed++) {
    it.effect(`ends with what was meant, of any schema that is supported (${seed})`, () =>
      Effect.gen(function*() {
        const schema = generator(seed * 15485863)(3)
        const { codec, jsonSchema } = Result.getOrThrow(ObjectSchema.make(schema))
        const encode = Schema.encodeUnknownEffect(codec)
        const [value] = yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 1, size: 5, seed })
        const wire = yield* encode(value)
        const answer = JsonSubset.isInput(jsonSchema) ? wire : { answer: wire }
        for (
          const [request, came] of [[hi, Answer.json(answer, slowly)], [
            old,
            Answer.tool("answer", answer, slowly)
          ]] as const
        ) {
          const all = yield* run(parts(schema, request), setUp([came]).layer)
          assert.deepStrictEqual(all.filter(({ _tag }) => _tag === "Complete").length, 1)
          assert.strictEqual(JSON.stringify(yield* encode(all.at(-1)!.value)), JSON.stringify(wire))
        }
      }))
  }
})

describe("an object that is asked for again", () => {
  it.effect("is given up at once when its caller leaves, also in between", () =>
    Effect.gen(function*() {
      const { layer } = setUp((_, n) => n === 0 ? Answer.json({ n: "x" }) : Answer.stall("beforeHeaders", Answer.hello))
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Claude.object(Schema.Struct({ n: Schema.Int }), hi))
        for (let n = 0; n < 100 && (yield* sent).length < 2; n++) {
          yield* settle
          yield* TestClock.adjust("1 second")
        }
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual((yield* sent).map(({ closedAt }) => closedAt !== undefined), [false, true])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is asked for as before, beside what was wrong", () =>
    Effect.gen(function*() {
      const { layer } = setUp((_, n) => Answer.json(n === 0 ? { n: "x" } : { n: 1 }))
      const asked = Claude.object(Schema.Struct({ n: Schema.Int }), { ...hi, system: "Be exact." })
      const [object, requests] = yield* run(Effect.all([asked, sent]), layer)
      assert.deepStrictEqual(object, { n: 1 })
      const [first, second] = requests.map(({ body }): ReturnType<typeof JSON.parse> => body)
      assert.deepStrictEqual({ ...second, messages: [] }, { ...first, messages: [] })
      assert.deepStrictEqual(second.messages.slice(0, 2), [...first.messages, {
        role: "assistant",
        content: "{\"n\":\"x\"}"
      }])
    }))
})

describe("an object that another model answers", () => {
  const first = "claude-opus-5-5"
  const older = old.model
  const native = (asked: { readonly output_config?: { readonly format?: object } }) =>
    asked.output_config?.format !== undefined
  const by = (home: string, to: string) => (answer: Answer.Answer) =>
    setUp(({ body }) => "model" in body && body.model === home ? Answer.error(529) : answer, {
      fallback: [to],
      circuit: false,
      defaults: { model: home, max_tokens: 100 }
    }).layer
  const bodies = Effect.map(sent, (all) => all.map(({ body }): ReturnType<typeof JSON.parse> => body))
  const request = { ...hi, output_config: { effort: "low" as const } }

  for (
    const [what, home, to, answer] of [
      ["that has no structured output", first, older, Answer.tool("answer", trip, slowly)],
      ["that has", older, first, Answer.json(trip, slowly)]
    ] as const
  ) {
    it.effect(`is asked for as that one takes it: one ${what}`, () =>
      Effect.gen(function*() {
        const layer = by(home, to)(answer)
        const [object, streamed, all] = yield* run(
          Effect.all([Claude.object(Trip, request), parts(Trip, request), bodies]),
          layer
        )
        assert.strictEqual(object.to, "Bern")
        assert.strictEqual(streamed.at(-1)?._tag, "Complete")
        assert.deepInclude(valuesOf(streamed), { to: "Be" })
        for (const body of all) {
          const isNative = body.model === first
          assert.strictEqual(native(body), isNative)
          assert.strictEqual("tool_choice" in body, !isNative)
          assert.strictEqual("tools" in body, !isNative)
          assert.strictEqual(body.output_config.effort, "low")
        }
      }))
  }

  it.effect("is asked for again by whoever is next, in its own way", () =>
    Effect.gen(function*() {
      const { layer } = setUp(({ body }, n) =>
        "model" in body && body.model === first
          ? n === 0 ? Answer.error(529) : Answer.json({ n: 1 })
          : Answer.tool("answer", { n: "x" }), { fallback: [older], circuit: false })
      const [object, all] = yield* run(Effect.all([Claude.object(Schema.Struct({ n: Schema.Int }), hi), bodies]), layer)
      assert.deepStrictEqual(object, { n: 1 })
      assert.deepStrictEqual(all.map(native), [true, false, true])
      assert.notProperty(all[2], "tools")
      assert.deepStrictEqual(all[2].messages[1], { role: "assistant", content: "{\"n\":\"x\"}" })
    }))

  it.effect("is asked for in the place of a refusal, too", () =>
    Effect.gen(function*() {
      const { layer } = setUp(({ body }) =>
        "model" in body && body.model === first
          ? Answer.text("", { stopReason: "refusal" })
          : Answer.tool("answer", { n: 1 }), { fallback: [older], onRefusal: "fallback", circuit: false })
      assert.deepStrictEqual(yield* run(Claude.object(Schema.Struct({ n: Schema.Int }), hi), layer), { n: 1 })
    }))
})
