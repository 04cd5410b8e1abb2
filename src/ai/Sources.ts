/**
 * The sources that an answer names: what its citations point at, and what a web search found.
 *
 * The range that a citation is of is in `metadata.anthropic`. One that names no place that can be told (an address that
 * is no URL) has no part; the citation itself stays with its text.
 */
import type * as Response from "effect/ai/Response"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { Block, SourceInfo } from "./Options.ts"

type Source = Response.UrlSourcePartEncoded | Response.DocumentSourcePartEncoded

/** @internal */
export const ofCitations = (citations: Schema.Json | undefined, id: string): Array<Source> =>
  blocksOf(citations).flatMap((citation, n) => of(citation, `${id}-${n}`))

/** What a web search found. @internal */
export const ofResult = ({ content, type }: Block, id: string): Array<Source> => {
  if (type !== "web_search_tool_result") return []
  return blocksOf(content).flatMap(({ page_age, title, url }, n) =>
    urlSource(`${id}-${n}`, url, title, { source: "web", pageAge: typeof page_age === "string" ? page_age : null })
  )
}

/** What of it is blocks: a server may tell anything. */
const blocksOf = (json: Schema.Json | undefined): ReadonlyArray<Block> =>
  Array.isArray(json)
    ? json.filter((block: unknown): block is Block => Predicate.isObject(block))
    : []

const of = (citation: Block, id: string): Array<Source> => {
  const citedText = string(citation["cited_text"])
  switch (citation.type) {
    case "web_search_result_location":
      return urlSource(id, citation["url"], citation["title"], {
        source: "url",
        citedText,
        encryptedIndex: string(citation["encrypted_index"])
      })
    case "search_result_location": {
      const info = documentInfo(citation, citedText)
      const url = urlSource(id, citation["source"], citation["title"], info)
      return url.length > 0 ? url : [documentSource(id, "text/plain", citation["title"] ?? citation["source"], info)]
    }
    case "page_location":
      return [documentSource(id, "application/pdf", citation["document_title"], documentInfo(citation, citedText))]
    case "char_location":
    case "content_block_location":
      return [documentSource(id, "text/plain", citation["document_title"], documentInfo(citation, citedText))]
    default:
      return []
  }
}

const urlSource = (
  id: string,
  url: Schema.Json | undefined,
  title: Schema.Json | undefined,
  anthropic: SourceInfo
): Array<Source> =>
  typeof url === "string" && URL.canParse(url)
    ? [{ type: "source", sourceType: "url", id, url, title: string(title), metadata: { anthropic } }]
    : []

const documentSource = (
  id: string,
  mediaType: string,
  title: Schema.Json | undefined,
  anthropic: SourceInfo
): Source => ({
  type: "source",
  sourceType: "document",
  id,
  mediaType,
  title: string(title),
  metadata: { anthropic }
})

/** The API's fields, as they are called here. */
const positions = {
  document_index: "documentIndex",
  search_result_index: "documentIndex",
  start_char_index: "startCharIndex",
  end_char_index: "endCharIndex",
  start_page_number: "startPageNumber",
  end_page_number: "endPageNumber",
  start_block_index: "startBlockIndex",
  end_block_index: "endBlockIndex"
} as const

const documentInfo = (citation: Block, citedText: string): SourceInfo => {
  const info: Record<string, Schema.Json> = {}
  for (const [field, name] of Object.entries(positions)) {
    const value = citation[field]
    if (typeof value === "number") info[name] = value
  }
  return { source: "document", type: citation.type, citedText, ...info }
}

const string = (value: Schema.Json | undefined): string => typeof value === "string" ? value : ""
