/**
 * How large a request's input is, without a tokenizer: the lengths of its texts, and what its images, documents and
 * tools are known to come to.
 *
 * One walk over system, tools and messages, in constant stack whatever their depth. Tools that are as they were are not
 * measured again.
 */

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** How long a request asks its prefix to be cached. @internal */
export type CacheWrite = "none" | "5m" | "1h"

/** How large a request's input is, and what of it changes the price. @internal */
export interface InputSize {
  /** UTF-16 units of all texts. */
  readonly chars: number
  /** The same in UTF-8. */
  readonly bytes: number
  /** Tokens, likely, of what is no text: images, documents, what the API adds for tools. */
  readonly tokens: number
  /** The most that those can be. */
  readonly mostTokens: number
  /** What the results of a server's tools are taken for. */
  readonly serverTokens: number
  readonly cache: CacheWrite
  /** How many web searches the request allows; Infinity where it sets no bound. */
  readonly searches: number
  /** `speed` and `inference_geo`, where they are not the standard ones. */
  readonly speed: string | undefined
  readonly region: string | undefined
}

// -----------------------------------------------------------------------------
// what things come to
// -----------------------------------------------------------------------------

/** The longest prompt that any model takes; a longer one is refused, and not billed. @internal */
export const WINDOW = 1_000_000

// An image is scaled down until it fits: 1 568 tokens, and 4 784 on models of high resolution.
const image = { likely: 1_568, most: 4_784 }

// A PDF is billed by its pages, each as a picture and as up to 3 000 tokens of text; there may be 600. A real page
// takes 2 kB of a file at the least, and some 50 on average.
const page = { likely: 2_400, most: 3_000 + image.most }
const PAGE_BYTES = { likely: 50_000, least: 2_000 }
const MOST_PAGES = 600
/** Of a document that only the server sees. */
const UNSEEN_PAGES = 10

// What the API adds to a prompt: for a message or block, for tools at all (346 to 530 tokens are documented), for a
// tool of its own (245 to 1 234), for a format of the answer.
const framing = { likely: 3, most: 8 }
const toolPrompt = { likely: 350, most: 1_000 }
const ownTool = { likely: 500, most: 1_500 }
const formatPrompt = { likely: 200, most: 1_000 }

/** For each use of a tool that the server runs, or for all where their number has no bound. */
const serverTool = { use: 15_000, unbounded: 50_000 }
const runByServer = /^(?:web_|code_execution|tool_search|advisor|mcp_toolset)/

/** More parts than this are not looked at: a body that holds itself would never end. */
const MAX_PARTS = 200_000

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * Walks system, tools and messages once. What the API would refuse may be counted in any way, as it is not billed.
 *
 * @internal
 */
export const make = (body: object): InputSize => {
  const request: Loose = body as Loose
  const size = new Size()
  size.cached(request["cache_control"])
  size.blocks(request["system"])
  size.blocks(request["messages"])
  const { tools } = request
  if (Array.isArray(tools) && tools.length > 0) size.add(sizeOfTools(tools))
  if (isObject(request["output_config"]) && isObject(request["output_config"]["format"])) {
    size.count(formatPrompt)
    size.json(request["output_config"]["format"])
  }
  const { mcp_servers } = request
  if (Array.isArray(mcp_servers)) size.serverTokens += mcp_servers.length * serverTool.unbounded
  size.speed = unlike(request["speed"], "standard")
  size.region = unlike(request["inference_geo"], "global")
  return size
}

// -----------------------------------------------------------------------------
// the walk
// -----------------------------------------------------------------------------

interface Loose {
  readonly [key: string]: unknown
}

interface Weight {
  readonly likely: number
  readonly most: number
}

const isObject = (value: unknown): value is Loose => typeof value === "object" && value !== null

/** @internal */
export const isCount = (value: unknown): value is number => Number.isFinite(value) && Number(value) >= 0

const unlike = (value: unknown, standard: string): string | undefined =>
  typeof value === "string" && value !== standard ? value : undefined

class Size implements InputSize {
  chars = 0
  bytes = 0
  tokens = 0
  mostTokens = 0
  serverTokens = 0
  cache: CacheWrite = "none"
  searches = 0
  speed: string | undefined = undefined
  region: string | undefined = undefined
  private left = MAX_PARTS

  count({ likely, most }: Weight, times = 1): void {
    this.tokens += likely * times
    this.mostTokens += most * times
  }

  text(value: string): void {
    this.chars += value.length
    this.bytes += Buffer.byteLength(value)
  }

  cached(control: unknown): void {
    if (!isObject(control)) return
    if (control["ttl"] === "1h") this.cache = "1h"
    else if (this.cache === "none") this.cache = "5m"
  }

  add(other: Size): void {
    this.chars += other.chars
    this.bytes += other.bytes
    this.tokens += other.tokens
    this.mostTokens += other.mostTokens
    this.serverTokens += other.serverTokens
    this.searches += other.searches
    if (other.cache === "1h" || this.cache === "none") this.cache = other.cache
  }

  /** Texts, messages and content blocks, one in another. */
  blocks(root: unknown): void {
    const stack: Array<unknown> = [root]
    while (stack.length > 0) {
      const value = stack.pop()
      if (typeof value === "string") this.text(value)
      else if (Array.isArray(value)) {
        if (!this.has(value.length)) return
        for (const item of value) stack.push(item)
      } else if (isObject(value) && this.has(1)) this.block(value, stack)
    }
  }

  private block(block: Loose, stack: Array<unknown>): void {
    this.count(framing)
    const { source, type } = block
    if (type === "image") {
      this.count(image)
      this.cached(block["cache_control"])
      return
    }
    for (const key of Object.keys(block)) {
      const value = block[key]
      if (key === "cache_control") this.cached(value)
      else if (key === "content") stack.push(value)
      else if (key === "source" && type === "document" && isObject(source)) this.document(source, stack)
      else if (key !== "type" && key !== "role") this.json(value)
    }
  }

  private document(source: Loose, stack: Array<unknown>): void {
    const { content, data, type } = source
    if (type === "content") stack.push(content)
    else if (type === "base64" && typeof data === "string") {
      const bytes = Math.max(1, (data.length * 3) / 4)
      this.tokens += page.likely * Math.ceil(bytes / PAGE_BYTES.likely)
      this.mostTokens += page.most * Math.min(MOST_PAGES, Math.ceil(bytes / PAGE_BYTES.least))
    } else if (type === "url" || type === "file") {
      this.tokens += page.likely * UNSEEN_PAGES
      this.mostTokens += page.most * MOST_PAGES
    } else this.json(data)
  }

  /** Any value, by about the length of its JSON. */
  json(root: unknown): void {
    const stack: Array<unknown> = [root]
    while (stack.length > 0) {
      const value = stack.pop()
      if (typeof value === "string") this.text(value)
      else if (Array.isArray(value)) {
        if (!this.has(value.length)) return
        for (const item of value) stack.push(item)
        this.punctuation(2 + value.length)
      } else if (isObject(value)) {
        const keys = Object.keys(value)
        if (!this.has(keys.length)) return
        for (const key of keys) {
          this.text(key)
          stack.push(value[key])
        }
        this.punctuation(2 + 6 * keys.length)
      } else this.punctuation(String(value).length)
    }
  }

  private punctuation(length: number): void {
    this.chars += length
    this.bytes += length
  }

  /** Whether so many more parts may be looked at; the first too many makes the request as large as one can be. */
  private has(parts: number): boolean {
    this.left -= parts
    if (this.left >= 0) return true
    this.mostTokens = WINDOW
    return false
  }
}

const toolSizes = new WeakMap<object, readonly [seen: Seen, size: Size] | "once">()

/**
 * Tools are mostly one array for all calls, so they are measured again only when something in them has changed. What is
 * made anew for each call is not worth remembering.
 */
const sizeOfTools = (tools: ReadonlyArray<unknown>): Size => {
  const known = toolSizes.get(tools)
  if (typeof known === "object" && known[0].isUnchanged()) return known[1]
  const size = new Size()
  size.count(toolPrompt)
  for (const tool of tools) {
    if (!isObject(tool)) continue
    size.cached(tool["cache_control"])
    size.json(tool)
    const { max_uses, type } = tool
    if (typeof type !== "string" || type === "custom") continue
    size.count(ownTool)
    const uses = isCount(max_uses) ? max_uses : undefined
    if (type.startsWith("web_search")) size.searches += uses ?? Infinity
    if (runByServer.test(type)) {
      size.serverTokens += uses === undefined ? serverTool.unbounded : uses * serverTool.use
    }
  }
  const seen = known === undefined ? undefined : Seen.of(tools)
  toolSizes.set(tools, seen === undefined ? "once" : [seen, size])
  return size
}

/** All objects in a value with what each held. To compare that by identity takes a tenth of measuring it. */
class Seen {
  private readonly objects: ReadonlyArray<object>
  /** Of one after the other: its length or keys, and then its values. */
  private readonly held: ReadonlyArray<unknown>

  constructor(objects: ReadonlyArray<object>, held: ReadonlyArray<unknown>) {
    this.objects = objects
    this.held = held
  }

  /** Nothing where there is more than is worth to be kept. */
  static of(root: object): Seen | undefined {
    const objects = [root]
    const held: Array<unknown> = []
    for (const object of objects) {
      const values: ReadonlyArray<unknown> = Array.isArray(object) ? object : Object.values(object)
      held.push(Array.isArray(object) ? object.length : Object.keys(object))
      if (held.length + values.length > MAX_SEEN) return undefined
      for (const value of values) {
        held.push(value)
        if (isObject(value)) objects.push(value)
      }
    }
    return new Seen(objects, held)
  }

  isUnchanged(): boolean {
    const { held, objects } = this
    let at = 0
    // Plain loops: this is on the way of every call with tools.
    for (let i = 0; i < objects.length; i++) {
      const object: unknown = objects[i]
      if (Array.isArray(object)) {
        if (held[at++] !== object.length) return false
        for (let j = 0; j < object.length; j++) if (held[at++] !== object[j]) return false
      } else {
        // Written above: what is no array has its keys here.
        const before = held[at++] as ReadonlyArray<string>
        const keys = Object.keys(object as Loose)
        if (keys.length !== before.length) return false
        for (let j = 0; j < keys.length; j++) {
          const key = keys[j]!
          if (key !== before[j] || held[at++] !== (object as Loose)[key]) return false
        }
      }
    }
    return true
  }
}

const MAX_SEEN = 100_000
