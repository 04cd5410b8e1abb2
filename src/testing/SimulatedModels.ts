/** The models that the simulator lists, in the API's shape. What is not said of one is unknown, so `null`. */
import type { ModelInfo, ModelLine } from "@anthropic-ai/sdk/resources/models"
import * as Answer from "./Answer.ts"

/** A model by its id, with as much more as a test cares for. @category models @since 0.1.0 */
export type SimulatedModel = string | (Partial<ModelInfo> & { readonly id: string })

/** What is listed where no models are given; any other is then answered too. @category models @since 0.1.0 */
export const defaults: ReadonlyArray<SimulatedModel> = [
  "claude-opus-5-5",
  "claude-sonnet-5-5",
  "claude-haiku-5-5",
  "claude-haiku-4-5"
]

/** @category constructors @since 0.1.0 */
export const idOf = (model: SimulatedModel): string => typeof model === "string" ? model : model.id

/** What `/v1/models` and `/v1/models/{id}` answer: their JSON, or the refusal. @category routes @since 0.1.0 */
export const respond = (
  models: ReadonlyArray<SimulatedModel>,
  url: URL
): { readonly json: unknown } | { readonly refusal: Answer.Answer } => {
  const id = url.pathname.split("/")[3]
  if (id !== undefined) {
    const model = models.find((model) => encodeURIComponent(idOf(model)) === id)
    return model === undefined ? { refusal: Answer.error(404, { message: `model: ${id}` }) } : { json: info(model) }
  }
  const limit = Number(url.searchParams.get("limit") ?? 20)
  const after = url.searchParams.get("after_id")
  const before = url.searchParams.get("before_id")
  const from = after === null ? 0 : models.findIndex((model) => idOf(model) === after) + 1
  const to = before === null ? models.length : models.findIndex((model) => idOf(model) === before)
  const page = before === null ? models.slice(from, from + limit) : models.slice(Math.max(from, to - limit), to)
  return {
    json: {
      data: page.map(info),
      has_more: before === null ? from + limit < models.length : to - limit > 0,
      first_id: page[0] === undefined ? null : idOf(page[0]),
      last_id: page.length === 0 ? null : idOf(page[page.length - 1]!)
    }
  }
}

const lines: ReadonlyArray<ModelLine> = ["haiku", "sonnet", "opus", "fable", "mythos"]

const info = (model: SimulatedModel): ModelInfo => {
  const id = idOf(model)
  return {
    id,
    type: "model",
    display_name: id.split("-").map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(" "),
    created_at: "1970-01-01T00:00:00Z",
    lifecycle: "active",
    line: lines.find((line) => id.includes(line)) ?? null,
    capabilities: null,
    max_input_tokens: null,
    max_tokens: null,
    deprecated_at: null,
    retires_at: null,
    ...(typeof model === "string" ? undefined : model)
  }
}
