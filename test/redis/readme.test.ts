import { NodeRedis } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Stream } from "effect"
import { Claude } from "effect-claude"
import { layerRedis } from "effect-claude/cache-store"
import { ClaudeRedis } from "effect-claude/redis"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { describeRedis, freshPrefix, layer as redis, RedisUrl } from "../support/redis.ts"

// #region shared
const layerShared = (url: string, prefix: string) =>
  Claude.layerConfigWith({ cache: true }).pipe(
    Layer.provide([ClaudeRedis.layer({ prefix }), layerRedis]),
    // A client that queues would send later what nobody waits for any more.
    Layer.provide(NodeRedis.layer({ url, disableOfflineQueue: true }))
  )
// #endregion

describeRedis("clients of many processes, as the README makes them", () => {
  it.live("share an answer and a report", () =>
    Effect.gen(function*() {
      const { log, url: baseURL } = yield* ClaudeSimulator.ClaudeSimulator
      const [url, prefix] = [yield* RedisUrl, freshPrefix()]
      const request = { model: "claude-haiku-5-5", prompt: `What is shared under ${prefix}` }
      const client = layerShared(url, prefix).pipe(Layer.provide(ConfigProvider.layer(
        ConfigProvider.fromUnknown({ ANTHROPIC_API_KEY: "sk-simulated", ANTHROPIC_BASE_URL: baseURL })
      )))
      const one = yield* Layer.build(Layer.fresh(client))
      const other = yield* Layer.build(Layer.fresh(client))
      assert.isFalse((yield* Effect.provide(Claude.message(request), one)).cached)
      // The answer is kept behind the back of who asked.
      const cached = Effect.map(Effect.provide(Claude.message(request), other), (message) => message.cached)
      yield* Effect.repeat(Effect.delay(cached, 20), { until: (cached) => cached, times: 50 })
      assert.isAtMost((yield* log).requests, 2)
      const rows = yield* Stream.runCollect(Stream.provide(Claude.usage, other))
      assert.strictEqual(rows[0]?.model, "claude-haiku-5-5")
      assert.strictEqual(rows[0]?.requests, (yield* log).requests)
    }).pipe(
      Effect.scoped,
      Effect.provide([ClaudeSimulator.layer({ answers: [Answer.text("This.")] }), redis])
    ))
})
