import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { readFileSync } from "node:fs"
import { Prompts } from "../../src/prompts/index.ts"
import { lastText, yamlLayer } from "./support.ts"

const Reply = Prompts.define("reply", {
  variables: Schema.Struct({ customer: Schema.NonEmptyString, question: Schema.String })
})

/** The README's file of prompts. */
const [, file = ""] = /```yaml\n(# prompts\/reply.yaml\n.*?)```/s.exec(readFileSync("README.md", "utf8")) ?? []

it.effect("the README's prompts are served as it says: one version without a key, two with", () =>
  Effect.gen(function*() {
    const render = (key?: string) => Reply.render({ customer: "Ann", question: "Where is it?" }, { key })
    assert.strictEqual(lastText(yield* render()), "Ann asks: Where is it?")
    const requests = yield* Effect.forEach(Array.from({ length: 300 }, (_, key) => String(key)), render)
    const warm = requests.filter((request) => String(lastText(request)).startsWith("Answer warmly. Ann asks"))
    assert.isTrue(warm.length > 5 && warm.length < 75, `${warm.length} of 300`)
  }).pipe(Effect.provide(yamlLayer(file, { prompts: [Reply] }))))
