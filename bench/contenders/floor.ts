/** The floor: built-in fetch and the smallest reader of SSE. No retries, no types, no telemetry. */
import { apiKey, type Open } from "../contender.ts"
import { model, prompt } from "../fixture.ts"

/** Feeds `onText` with each delta; throws unless the message came to its end. */
const read = async ({ body }: Response, onText: (text: string) => void): Promise<void> => {
  const decoder = new TextDecoder()
  let rest = ""
  let ended = false
  for await (const chunk of body ?? []) {
    const text = rest + decoder.decode(chunk, { stream: true })
    let start = 0
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n", start)) {
      const event = JSON.parse(text.slice(text.indexOf("data: ", start) + 6, end))
      if (event.type === "content_block_delta") onText(event.delta.text)
      else if (event.type === "message_stop") ended = true
      else if (event.type === "error") throw new Error(event.error.message)
      start = end + 2
    }
    rest = text.slice(start)
  }
  if (!ended) throw new Error("the stream ended early")
}

export const open: Open = ({ baseURL, wire }) => {
  const url = `${baseURL}/v1/messages`
  const headers = {
    "content-type": "application/json",
    authorization: `Bearer ${apiKey}`,
    "anthropic-version": "2026-10-21"
  }
  const call = async (stream: boolean): Promise<Response> => {
    const body = JSON.stringify({ model, max_tokens: 8192, messages: [{ role: "user", content: prompt }], stream })
    const response = await fetch(url, { method: "POST", headers, body })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    return response
  }
  return {
    async message() {
      const response = await call(wire === "sse")
      if (wire === "json") return (await response.json()).content[0].text
      let text = ""
      await read(response, (delta) => text += delta)
      return text
    },
    async stream() {
      let chars = 0
      await read(await call(true), (delta) => chars += delta.length)
      return chars
    }
  }
}
