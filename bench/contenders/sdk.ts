/** The SDK as its README uses it, without telemetry. */
import Anthropic, { type ClientOptions } from "@anthropic-ai/sdk"
import { apiKey, type Contender, type Open, type Options } from "../contender.ts"
import { model, prompt } from "../fixture.ts"

const params = { model, max_tokens: 8192, messages: [{ role: "user" as const, content: prompt }] }

export const openWith = ({ baseURL, wire }: Options, openTelemetry: ClientOptions["openTelemetry"]): Contender => {
  const client = new Anthropic({ baseURL, apiKey, openTelemetry })
  return {
    async message() {
      const message =
        await (wire === "json" ? client.messages.create(params) : client.messages.stream(params).finalMessage())
      return message.content.map((block) => block.type === "text" ? block.text : "").join("")
    },
    async stream() {
      let chars = 0
      for await (const event of await client.messages.create({ ...params, stream: true })) {
        if (event.type === "content_block_delta" && event.delta.type === "text_delta") chars += event.delta.text.length
      }
      return chars
    }
  }
}

export const open: Open = (options) => openWith(options, false)
