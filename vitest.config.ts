import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-claude$/, replacement: src("index.ts") },
      {
        find: /^effect-claude\/(ai|documents|files|guards|prompts|redis|telemetry|testing)$/,
        replacement: src("$1/index.ts")
      },
      { find: "effect-claude/cache-store", replacement: src("cache/PersistedCacheStore.ts") },
      { find: "effect-claude/opentelemetry", replacement: src("telemetry/OpenTelemetry.ts") },
      { find: /^effect-claude\/(Claude|ClaudeError)$/, replacement: src("$1.ts") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    maxWorkers: 2
  }
})
