import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as SimulatedTurns from "../../src/testing/SimulatedTurns.ts"

const shared = new URL("../../../shared/fixtures/expected/", import.meta.url)

interface Recorded {
  readonly content: ReadonlyArray<{ readonly type: string; readonly id?: string }>
  readonly stop_reason: string | null
}

const messageOf = (file: string): Recorded | undefined => {
  const { beta, stable } = JSON.parse(readFileSync(new URL(file, shared), "utf8"))
  return (beta === "same as stable" ? stable : beta).message
}

/** Recorded answers, those of one conversation together. */
const conversations = new Map<string, Array<Recorded>>()
const files = existsSync(shared) ? readdirSync(shared) : []
const partOf = (file: string) => Number(/\.part(\d+)\.json$/.exec(file)?.[1] ?? 0)
for (const file of files.toSorted((a, b) => partOf(a) - partOf(b))) {
  const message = messageOf(file)
  // The API takes back neither a refusal without a text nor an answer without a block.
  if (message === undefined || message.content.length === 0 || message.stop_reason === "refusal") continue
  const name = file.replace(/(?:\.part\d+)?\.json$/, "")
  conversations.set(name, [...conversations.get(name) ?? [], message])
}

/** What a program says to an answer. */
const replyTo = ({ content }: Recorded) => {
  const calls = content.filter(({ type }) => type === "tool_use")
  return {
    role: "user",
    content: calls.length === 0 ? "Go on." : calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id }))
  }
}

describe.skipIf(conversations.size === 0)("recorded answers", () => {
  it.each([...conversations])("of %s are taken back as they came", (_, answers) => {
    const messages = [
      { role: "user", content: "Hi" },
      ...answers.flatMap((answer) => [
        { role: "assistant", content: answer.content },
        ...answer.stop_reason === "pause_turn" ? [] : [replyTo(answer)]
      ])
    ]
    assert.isUndefined(SimulatedTurns.refusal(messages))
  })
})
