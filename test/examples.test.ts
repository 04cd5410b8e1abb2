import { beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { spawn, spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

// -----------------------------------------------------------------------------
// the programs
// -----------------------------------------------------------------------------

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs an example as a reader would, in an environment that holds nothing else. */
const run = (
  file: string,
  env: Record<string, string> = {},
  onOutput: (output: string, kill: (signal: NodeJS.Signals) => boolean) => void = () => {}
): Effect.Effect<Run> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [`examples/${file}`], {
      cwd: root,
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      onOutput(stdout, (signal) => child.kill(signal))
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text)
    child.once("error", (error) => resume(Effect.die(error)))
    child.once("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Runs an example without a key; it ends well and says nothing on the side. */
const output = (file: string): Effect.Effect<string> =>
  Effect.map(run(file), (result) => {
    expect(result).toMatchObject({ code: 0, stderr: "" })
    expect(result.stdout).toMatch(/^No ANTHROPIC_API_KEY: a simulator/)
    return result.stdout
  })

const rows = (stdout: string, name: string): number =>
  stdout.split("\n").filter((line) => line.replace(/^[├└ ]+/u, "").startsWith(name)).length

// They mostly wait, so they do it together.
describe.concurrent("examples", () => {
  // They import the package by its name, as users do, so they run what is built.
  beforeAll(() => {
    const tsc = ["node_modules/typescript/bin/tsc", "-p", "src/tsconfig.json"]
    expect(spawnSync(process.execPath, tsc, { cwd: root }).status).toBe(0)
  }, 60_000)

  it.live("first-call prints an answer", () =>
    Effect.map(output("10-first-call.ts"), (stdout) => {
      expect(stdout).toContain("Air scatters the short waves")
    }))

  it.live("streaming prints text with its rate, then time to first token, usage and cost", () =>
    Effect.map(output("20-streaming.ts"), (stdout) => {
      expect(stdout).toContain("Stone by patient stone,\nthe river learns every name\n")
      expect(stdout).toMatch(/^ +\d+\.\d s ≈ \d+ tokens\/s {2}\S/mu)
      expect(stdout.replaceAll(/\n +[\d.]+ s ≈ \d+ tokens\/s {2}/gu, " ")).toContain(
        "reads, the receive window closes and the server"
      )
      expect(stdout).toMatch(/^first token {2}\d+\.\d\d s$/m)
      expect(stdout).toMatch(/^total {8}\d+\.\d\d s, \d+ tokens\/s$/m)
      expect(stdout).toMatch(/^usage {8}\d+ tokens in, \d+ out$/m)
      expect(stdout).toMatch(/^cost {9}\$0\.\d+$/m)
    }))

  it.live("resilience shows a stream, a call that survives three faults, and a fatal one, each with its waterfall", () =>
    Effect.gen(function*() {
      const whole: Array<number> = []
      const { code, stderr, stdout } = yield* run("30-resilience.ts", {}, (soFar) => whole.push(soFar.length))
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      // It comes word by word, not at once.
      expect(whole.length).toBeGreaterThan(10)
      expect(stdout).toContain("stream does it by reading only when asked.\n")
      expect(stdout).toMatch(/RateLimited, again in .*\n.*Overloaded, again in .*\n.*StreamInterrupted, again in/)
      expect(stdout).toContain("Fix race between reading and closing a session\n")
      expect(stdout).toMatch(/NotFound: .*claude-opus-9/)
      expect([rows(stdout, "chat "), rows(stdout, "POST #"), rows(stdout, "claude.wait backoff")]).toEqual([3, 6, 3])
      expect(stdout).toMatch(/POST #1 .*429 rate_limit_error\n.*backoff.*\n.*POST #2 .*529 overloaded_error\n/)
      expect(stdout).toMatch(/first token .* tokens in, \d+ out · \$0\.\d+ · 1 attempt/u)
      expect(stdout).toMatch(/first token .* tokens in, \d+ out · \$0\.\d+ · 4 attempts/u)
      expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([])
    }))

  it.live("resilience ends cleanly when it is interrupted", () =>
    Effect.gen(function*() {
      let killed = false
      const { code, stderr, stdout } = yield* run("30-resilience.ts", {}, (soFar, kill) => {
        // Once: a second one finds nobody who listens.
        if (!killed && soFar.includes("Backpressure is")) killed = kill("SIGINT")
      })
      expect({ code, stderr }).toEqual({ code: 130, stderr: "" })
      expect(stdout).toContain("cancelled")
      expect(stdout).not.toContain("2. ")
    }))

  it.live("resilience talks to the API, and injects no faults, where there is a key", () =>
    Effect.gen(function*() {
      const { log, url } = yield* ClaudeSimulator.make({ otherwise: Answer.text("A real answer.") })
      const environment = { ANTHROPIC_API_KEY: "sk-ant-of-the-reader", ANTHROPIC_BASE_URL: url }
      const { code, stderr, stdout } = yield* run("30-resilience.ts", environment)
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toMatch(/^ANTHROPIC_API_KEY is set: these are real calls\.\n/)
      expect(stdout).toContain("no faults injected")
      expect(stdout.match(/A real answer\./g)).toHaveLength(3)
      expect(stdout).not.toContain("sk-ant")
      expect((yield* log).entries.map(({ outcome, status }) => `${status} ${outcome}`)).toEqual(
        ["200 complete", "200 complete", "200 complete"]
      )
    }))

  it.live("observability shows the spans, metrics and logs that arrived over OTLP", () =>
    Effect.map(output("40-observability.ts"), (stdout) => {
      expect(stdout).toContain("We are sorry that we charged you twice")
      const [, spans = "", metrics = "", logs = ""] = stdout.split(/\n\n(?:spans|metrics|logs)\n/)
      expect(
        spans.split("\n").map((line) => line.replace(/(\S) {2,}\d+ ms.*/, "$1").replace(/ \d+ ms.*/, "").trimEnd())
      )
        .toEqual([
          "answerTicket",
          "  chat claude-sonnet-5-5",
          "    POST",
          "  chat claude-sonnet-5-5",
          "    POST",
          "    claude.wait backoff",
          "    POST"
        ])
      expect(spans).toContain("error.type=overloaded_error http.response.status_code=529")
      expect(metrics).toMatch(/^claude\.client\.attempts +3 \{attempt\}$/m)
      expect(metrics).toMatch(/^gen_ai\.client\.inference\.usage\.output_tokens +\d+ \{token\}$/m)
      expect(metrics).toMatch(/^claude\.client\.cost +0\.\d+ \{USD\}$/m)
      expect(logs).toMatch(/^claude\.retry {2}attempt=1 reason=Overloaded delay=/)
    }))

  it.live("structured-output asks again with what is wrong, and decodes the answer that fits", () =>
    Effect.map(output("50-structured-output.ts"), (stdout) => {
      expect(stdout).toMatch(
        /"total":1320\}\n\nuser\nThat does not fit the schema:\ntotal must be the sum of the lines\n/
      )
      expect(stdout).toMatch(/"total":1230\}\n\ndecoded\n/)
      expect(stdout).toContain("Acme owes 1230 euros, due on 2027-01-31\n")
    }))

  it.live(
    "limits shows load and limits as they move, and spends nothing where there is a key",
    () =>
      Effect.gen(function*() {
        const { log, url } = yield* ClaudeSimulator.make()
        const environment = { ANTHROPIC_API_KEY: "sk-ant-of-the-reader", ANTHROPIC_BASE_URL: url }
        const { code, stderr, stdout } = yield* run("60-limits.ts", environment)
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        expect((yield* log).requests).toBe(0)
        expect(stdout).toMatch(/^A simulator on this machine answers, with a key too: nothing is spent\.\n/)
        const seen = [...stdout.matchAll(
          /^ *[\d.]+ s {2}queue (\d+) +in flight (\d+) +level \d+ +rate left (\d+) +served (\d+) +429 \d+ +529 \d+$/gm
        )].map((line) => line.slice(1).map(Number))
        expect(seen.length).toBeGreaterThan(8)
        expect(seen.length).toBeLessThan(30)
        for (const index of [0, 1, 2]) expect(Math.max(...seen.map((figures) => figures[index]!))).toBeGreaterThan(5)
        const served = seen.map((figures) => figures[3]!)
        expect(served).toEqual(served.toSorted((a, b) => a - b))
        const [, calls, share, level, small, large] = stdout.match(
          /^(\d+) calls served, \d+ failed; ([\d.]+)% saw a 429, [\d.]+% a 529\.\nThe highest level was (\d+)\. The slowest call took ([\d.]+) s \(small\) and ([\d.]+) s \(large\)\.\n$/m
        )?.map(Number) ?? []
        expect(calls).toBeGreaterThan(100)
        expect(share).toBeLessThan(5)
        expect(level).toBeGreaterThan(4)
        // Who asks little does not wait behind who asks much.
        expect(small).toBeLessThan(large!)
      }),
    60_000
  )

  it.live("limits ends cleanly when it is interrupted", () =>
    Effect.gen(function*() {
      let killed = false
      const { code, stderr, stdout } = yield* run("60-limits.ts", {}, (soFar, kill) => {
        if (!killed && soFar.includes("s  queue")) killed = kill("SIGINT")
      })
      expect({ code, stderr }).toEqual({ code: 130, stderr: "" })
      expect(stdout).not.toContain("calls served")
    }))

  it.live("budget warns, refuses what does not fit with what it knows, and reports what was used", () =>
    Effect.map(output("61-budget.ts"), (stdout) => {
      expect(stdout).toMatch(/^acme\nrain .*\n! acme has spent 50% of its \$0\.0300: \$0\.0158 so far\ntides /m)
      expect(stdout).toMatch(
        /^wind +Not sent: up to \$0\.\d+ more, and \$0\.0237 of \$0\.0300 are spent\. Again in \d+h \d+m\.$/m
      )
      expect(stdout).toMatch(/^globex\nwind +Warm air/m)
      const [, head, ...table] = stdout.trimEnd().split(/\n(?=tenant)|\n/).slice(-4)
      expect(head).toBe("tenant   model              requests        in       out      cost")
      expect(table).toEqual([
        "acme     claude-opus-5-5           3        84      1170   $0.0237",
        "globex   claude-opus-5-5           1        28       390   $0.0079"
      ])
    }))

  it.live("budget bounds what it spends where there is a key", () =>
    Effect.gen(function*() {
      const usage = { input_tokens: 28, output_tokens: 500 }
      const { log, url } = yield* ClaudeSimulator.make({ otherwise: Answer.text("A real answer.", { usage }) })
      const environment = { ANTHROPIC_API_KEY: "sk-ant-of-the-reader", ANTHROPIC_BASE_URL: url }
      const { code, stderr, stdout } = yield* run("61-budget.ts", environment)
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toMatch(/^ANTHROPIC_API_KEY is set: these are real calls\.\n/)
      // Two at a cent each leave too little for a third that might come to more.
      expect(stdout.match(/Not sent/g)).toHaveLength(2)
      expect((yield* log).requests).toBe(3)
    }))

  it.live("fallback goes on to the next target, says which served, and answers by itself where none is left", () =>
    Effect.map(output("62-fallback.ts"), (stdout) => {
      const [, first = "", second = "", third = ""] = stdout.split(/^\d\. .*\n/m)
      const servedBy = (section: string) => /^ {2}claude\.fallback\.served_by: (\S+) at/m.exec(section)?.[1]
      expect([first, second, third].map(servedBy)).toEqual(["claude-sonnet-5-5", "claude-haiku-5-5", undefined])
      expect([first, second, third].map((section) => rows(section, "POST #"))).toEqual([3, 5, 6])
      for (const section of [first, second]) {
        expect(section).toContain("\nRain is only weather.\n")
        expect(section).toMatch(/^chat claude-opus-5-5 .* success$/m)
        expect(section).toMatch(/^└ POST #\d .* 200$/mu)
      }
      expect(third).toContain("\nStay dry! (Yesterday's slogan; Claude is busy.)\n")
      expect(third).toMatch(/^chat claude-opus-5-5 .* overloaded_error$/m)
      expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([])
    }))

  it.live("cache answers again at no cost, shares among twins, survives a restart, and reads a marked prompt", () =>
    Effect.map(output("63-cache.ts"), (stdout) => {
      const row = (label: string) => {
        const [, figures = ""] = stdout.split(`\n${label.padEnd(24)}`)
        const [took, requests, cost, ...tokens] = figures.split("\n", 1)[0]!.trim().split(/ {2,}/)
        return { isQuick: Number.parseInt(took!) < 200, requests, cost, tokens }
      }
      const paid = { isQuick: false, requests: "1", cost: "$0.00026", tokens: [] }
      const free = { isQuick: true, requests: "0", cost: "$0.00000", tokens: [] }
      expect(["asked", "asked again", "asked as a stream", "asked by five at once", "asked after a restart"].map(row))
        .toEqual([paid, free, free, paid, free])
      expect(stdout).toMatch(/^asked +\d+ ms +1 +\$0\.009\d+ +3620$/m)
      expect(stdout).toMatch(/^asked something else +\d+ ms +1 +\$0\.0005\d {18}3620$/m)
    }))

  it("each program has a test here", () => {
    const source = readFileSync(fileURLToPath(import.meta.url), "utf8")
    const programs = readdirSync(`${root}/examples`).filter((name) => name.endsWith(".ts"))
    expect(programs.filter((name) => !source.includes(`"${name}"`))).toEqual([])
    expect(programs.length).toBeGreaterThan(0)
  })
})

// -----------------------------------------------------------------------------
// the README's snippets
// -----------------------------------------------------------------------------

/** What is wrong with the ts blocks of a page: `<!-- path -->` or `<!-- path#region -->` before each names its source. */
const problems = (page: string, read: (path: string) => string): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const fence of page.matchAll(/^[ \t]*```(\w*)[^\n]*\n([\s\S]*?)^[ \t]*```[ \t]*$/gm)) {
    if (fence[1] !== "ts" && fence[1] !== "typescript") continue
    const line = page.slice(0, fence.index).split("\n").length
    const [, path, region] = /<!-- *([^\s#]+)(?:#(\S+))? *-->\s*$/.exec(page.slice(0, fence.index)) ?? []
    const block = linesOf(fence[2] ?? "")
    if (path === undefined) {
      found.push(`line ${line}: a ts block without a comment that names its example`)
    } else if (region === undefined) {
      const file = linesOf(read(path)).join("\n")
      if (block.length === 0 || !`\n${file}\n`.includes(`\n${block.join("\n")}\n`)) {
        found.push(`line ${line}: not in ${path}`)
      }
    } else {
      const source = regionOf(read(path), region)
      if (source === undefined) found.push(`line ${line}: ${path} has no region ${region}`)
      else if (linesOf(source).join("\n") !== block.join("\n")) {
        found.push(`line ${line}: differs from ${path}#${region}`)
      }
    }
  }
  return found
}

const regionOf = (source: string, name: string): string | undefined =>
  source.split(/^\s*\/\/ #region /m).find((part) => part.split("\n", 1)[0]!.trim() === name)
    ?.split("\n").slice(1).join("\n").split(/^\s*\/\/ #endregion/m)[0]

/** The lines without imports, region markers, blank lines and indentation. */
const linesOf = (source: string): ReadonlyArray<string> =>
  source.replaceAll(/^\s*import\s[^"]*"[^"]+";?$/gm, "").split("\n").map((line) => line.trim())
    .filter((line) => line !== "" && !/^\/\/ #(end)?region\b/.test(line))

const fromRoot = (path: string): string => existsSync(`${root}/${path}`) ? readFileSync(`${root}/${path}`, "utf8") : ""

describe("README", () => {
  it("shows nothing but what the examples run", () => {
    expect(problems(fromRoot("README.md"), fromRoot)).toEqual([])
  })

  it("is compared with care", () => {
    const source =
      `import { Effect } from "effect"\n// #region one\nconst a = 1\n\n  const b = 2\n// #endregion\nconst c = 3\n`
    const page = (comment: string, code: string) =>
      problems(`# Title\n\n${comment}\n\n\`\`\`ts\n${code}\n\`\`\`\n`, () => source)
    expect(page("<!-- e.ts#one -->", `import {\n  Effect\n} from "effect"\n\n    const a = 1\n    const b = 2`))
      .toEqual([])
    expect(page("<!-- e.ts -->", "const b = 2\nconst c = 3")).toEqual([])

    expect(page("Some words.", "const a = 1")).toEqual([expect.stringContaining("without a comment")])
    expect(page("<!-- e.ts#two -->", "const a = 1")).toEqual([expect.stringContaining("no region two")])
    expect(page("<!-- e.ts#one -->", "const a = 1")).toEqual([expect.stringContaining("differs from e.ts#one")])
    expect(page("<!-- e.ts#one -->", "const a = 1\nconst b = 3")).toEqual([expect.stringContaining("differs")])
    expect(page("<!-- e.ts -->", "const c = 33")).toEqual([expect.stringContaining("not in e.ts")])
    expect(page("<!-- e.ts -->", "const b =")).toEqual([expect.stringContaining("not in e.ts")])
    expect(problems("```sh\nnpm start\n```\n", () => "")).toEqual([])
  })

  it("finds the regions that it may show", () => {
    const regions = {
      "examples/10-first-call.ts": ["first-call"],
      "examples/20-streaming.ts": ["streaming"],
      "examples/30-resilience.ts": ["policy", "errors"],
      "examples/40-observability.ts": ["telemetry"],
      "examples/50-structured-output.ts": ["object"],
      "examples/60-limits.ts": ["limits"],
      "examples/61-budget.ts": ["budget"],
      "examples/62-fallback.ts": ["fallback"],
      "examples/63-cache.ts": ["response-cache", "prompt-cache"],
      "test/examples-testing.test.ts": ["testing"]
    }
    for (const [path, names] of Object.entries(regions)) {
      for (const name of names) expect(regionOf(fromRoot(path), name), `${path}#${name}`).toMatch(/Claude\./)
    }
  })
})
