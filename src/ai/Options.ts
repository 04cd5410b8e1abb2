/**
 * What the parts of effect/ai carry for Claude, under the key `anthropic`: cache breakpoints, signatures, citations,
 * and the blocks that have no part of their own.
 *
 * `block` is the surprise: a part that has one is sent back as that block, in its place. So a chat that was stored goes
 * on exactly as the API gave it, also with blocks that this version does not know; and any block that the API takes may
 * be sent in a text part that is otherwise empty.
 */
import type * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A content block as it is on the wire. @category models @since 0.2.0 */
export type Block = {
  readonly type: string
  readonly [field: string]: Schema.Json
}

/** A breakpoint of the prompt cache: what comes up to here is kept. @category models @since 0.2.0 */
export type CacheControl = {
  readonly type: "ephemeral"
  /** @default "5m" */
  readonly ttl?: "5m" | "1h"
}

/** What proves that the model thought this: it must go back as it came. @category models @since 0.2.0 */
export type ThinkingInfo = {
  readonly type: "thinking"
  readonly signature: string
} | {
  readonly type: "redacted_thinking"
  readonly redactedData: string
}

/** Who called a tool, where it was not the model itself. @category models @since 0.2.0 */
export type Caller = {
  readonly type: string
  readonly toolId?: string | null
}

/** What any part or message may carry. @category models @since 0.2.0 */
export type Common = {
  readonly cacheControl?: CacheControl | null
}

/** What a part may carry to be sent as it is. @category models @since 0.2.0 */
export type Verbatim = Common & {
  readonly block?: Block | null
}

/** What a text may carry; citations go back as they came. @category models @since 0.2.0 */
export type TextOptions = Verbatim & {
  readonly citations?: ReadonlyArray<Block> | null
}

/** What reasoning may carry. @category models @since 0.2.0 */
export type ReasoningOptions = Verbatim & {
  readonly info?: ThinkingInfo | null
}

/** What a file may carry. @category models @since 0.2.0 */
export type FileOptions = Verbatim & {
  /** The id of a file that was uploaded: it is sent in place of the data. */
  readonly fileId?: string | null
  /** Whether the answer may cite this document. */
  readonly citations?: { readonly enabled: boolean } | null
  /** @default the part's file name */
  readonly documentTitle?: string | null
  /** What the model should know of the document, and does not cite. */
  readonly documentContext?: string | null
}

/** What a tool call may carry. @category models @since 0.2.0 */
export type ToolCallOptions = Verbatim & {
  readonly caller?: Caller | null
  /** The MCP server whose tool it is. */
  readonly mcp_tool?: { readonly server: string } | null
}

/** What a tool result may carry. @category models @since 0.2.0 */
export type ToolResultOptions = Verbatim & {
  readonly mcp_tool?: { readonly server: string } | null
}

/** Where in a source a citation points. @category models @since 0.2.0 */
export type SourceInfo =
  | {
    readonly source: "document"
    readonly type: string
    readonly citedText: string
    readonly documentIndex?: number
    readonly startCharIndex?: number
    readonly endCharIndex?: number
    readonly startPageNumber?: number
    readonly endPageNumber?: number
    readonly startBlockIndex?: number
    readonly endBlockIndex?: number
  }
  | { readonly source: "url"; readonly citedText: string; readonly encryptedIndex: string }
  | { readonly source: "web"; readonly pageAge: string | null }

/** What the call knows when it is over. @category models @since 0.2.0 */
export type FinishInfo = {
  /** Which model answered: another than was asked, where one stood in for it, also in the middle. */
  readonly model: string
  /** The API's own word for it. */
  readonly stopReason: string | null
  readonly stopSequence: string | null
  readonly stopDetails: Schema.Json
  readonly container: Schema.Json
  readonly contextManagement: Schema.Json
  /** Why the prompt cache was missed, where `diagnostics` asked. */
  readonly diagnostics: Schema.Json
  /** What the API changed of the input before the model saw it. */
  readonly inputTransformations: Schema.Json
  /** The API's usage, all of it. */
  readonly usage: Schema.Json
  readonly requestId: string | null
  /** What the call cost, retries included; null where a part of it has no known price. */
  readonly cost: Schema.Json
  /** How many times the request was sent. */
  readonly attempts: number
  /** It was answered from the response cache. */
  readonly cached: boolean
}

// -----------------------------------------------------------------------------
// where they go
// -----------------------------------------------------------------------------

declare module "effect/ai/Prompt" {
  interface SystemMessageOptions extends ProviderOptions {
    readonly anthropic?: Common | null
  }
  interface UserMessageOptions extends ProviderOptions {
    readonly anthropic?: Common | null
  }
  interface AssistantMessageOptions extends ProviderOptions {
    readonly anthropic?: Common | null
  }
  interface ToolMessageOptions extends ProviderOptions {
    readonly anthropic?: Common | null
  }
  interface TextPartOptions extends ProviderOptions {
    readonly anthropic?: TextOptions | null
  }
  interface ReasoningPartOptions extends ProviderOptions {
    readonly anthropic?: ReasoningOptions | null
  }
  interface FilePartOptions extends ProviderOptions {
    readonly anthropic?: FileOptions | null
  }
  interface ToolCallPartOptions extends ProviderOptions {
    readonly anthropic?: ToolCallOptions | null
  }
  interface ToolResultPartOptions extends ProviderOptions {
    readonly anthropic?: ToolResultOptions | null
  }
  interface ToolApprovalRequestPartOptions extends ProviderOptions {
    readonly anthropic?: Common | null
  }
  interface ToolApprovalResponsePartOptions extends ProviderOptions {
    readonly anthropic?: Common | null
  }
}

declare module "effect/ai/Response" {
  interface TextPartMetadata extends ProviderMetadata {
    readonly anthropic?: TextOptions | null
  }
  interface TextEndPartMetadata extends ProviderMetadata {
    readonly anthropic?: TextOptions | null
  }
  interface ReasoningPartMetadata extends ProviderMetadata {
    readonly anthropic?: ReasoningOptions | null
  }
  interface ReasoningEndPartMetadata extends ProviderMetadata {
    readonly anthropic?: ReasoningOptions | null
  }
  interface ToolCallPartMetadata extends ProviderMetadata {
    readonly anthropic?: ToolCallOptions | null
  }
  interface ToolResultPartMetadata extends ProviderMetadata {
    readonly anthropic?: ToolResultOptions | null
  }
  interface DocumentSourcePartMetadata extends ProviderMetadata {
    readonly anthropic?: SourceInfo | null
  }
  interface UrlSourcePartMetadata extends ProviderMetadata {
    readonly anthropic?: SourceInfo | null
  }
  interface FinishPartMetadata extends ProviderMetadata {
    readonly anthropic?: FinishInfo | null
  }
}
