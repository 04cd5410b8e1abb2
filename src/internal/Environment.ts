/**
 * A client's options as the environment gives them.
 */
import * as Config from "effect/Config"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as RetryPolicy from "../attempt/RetryPolicy.ts"
import * as Settings from "./Settings.ts"

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

/** @internal */
export interface EnvironmentOptions extends Settings.ClientOptions {
  readonly apiKey: Redacted.Redacted | undefined
  readonly baseURL: string | undefined
}

/** @internal */
export const options: Config.Config<EnvironmentOptions> = Config.map(
  Config.all({
    // Its absence is told where it is needed: a client that is handed in needs none.
    apiKey: optional(Config.Redacted("ANTHROPIC_API_KEY")),
    baseURL: optional(Config.String("ANTHROPIC_BASE_URL")),
    model: optional(Config.String("CLAUDE_MODEL")),
    max_tokens: optional(Config.Int("CLAUDE_MAX_TOKENS")),
    concurrency: optional(Config.Int("CLAUDE_MAX_CONCURRENCY")),
    retries: optional(Config.schema(Schema.Natural, "CLAUDE_MAX_RETRIES")),
    total: optional(Config.Duration("CLAUDE_TOTAL_TIMEOUT")),
    idle: optional(Config.Duration("CLAUDE_IDLE_TIMEOUT"))
  }),
  ({ apiKey, baseURL, concurrency, idle, max_tokens, model, retries, total }) => ({
    apiKey,
    baseURL,
    // What it may come to, as the server takes them.
    concurrency: concurrency === undefined ? undefined : { max: concurrency },
    defaults: { model, max_tokens },
    retry: retries === undefined ? undefined : RetryPolicy.make({ times: retries }),
    timeouts: { total, idle }
  })
)

/** What the environment says, and over it what the program says. @internal */
export const merge = <A extends Settings.ClientOptions & { readonly client?: unknown }>(
  { apiKey, baseURL, ...environment }: EnvironmentOptions,
  options: A
) => ({
  ...environment,
  // A client that is handed in has its own.
  ...(options.client === undefined ? { apiKey, baseURL } : undefined),
  ...Settings.defined(options),
  defaults: { ...environment.defaults, ...Settings.defined(options.defaults ?? {}) },
  timeouts: { ...environment.timeouts, ...Settings.defined(options.timeouts ?? {}) }
})
