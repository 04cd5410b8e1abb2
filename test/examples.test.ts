import { beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
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

/** Runs an example with a key and a URL at which nobody but a simulator is; what it was sent, and what it printed. */
const outputWithKey = Effect.fnUntraced(function*(file: string, otherwise: Answer.Answer) {
  const { log, url } = yield* ClaudeSimulator.make({ otherwise })
  const { code, stderr, stdout } = yield* run(file, {
    ANTHROPIC_API_KEY: "sk-ant-of-the-reader",
    ANTHROPIC_BASE_URL: url
  })
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  expect(stdout).toMatch(/^ANTHROPIC_API_KEY is set: these are real calls\.\n/)
  expect(stdout).not.toContain("sk-ant")
  return { stdout, entries: (yield* log).entries }
})

/** Runs an example until it has printed something, and interrupts it there: it ends as one that was interrupted. */
const interrupted = (
  file: string,
  at: string | ((soFar: string) => boolean),
  env?: Record<string, string>
): Effect.Effect<string> => {
  let killed = false
  const isThere = typeof at === "string" ? (soFar: string) => soFar.includes(at) : at
  // Once: a second one finds nobody who listens.
  const result = run(file, env, (soFar, kill) => {
    if (!killed && isThere(soFar)) killed = kill("SIGINT")
  })
  return Effect.map(result, ({ code, stderr, stdout }) => {
    expect({ code, stderr }).toEqual({ code: 130, stderr: "" })
    return stdout
  })
}

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
    Effect.map(interrupted("30-resilience.ts", "Backpressure is"), (stdout) => {
      expect(stdout).toContain("cancelled")
      expect(stdout).not.toContain("2. ")
    }))

  it.live("resilience talks to the API, and injects no faults, where there is a key", () =>
    Effect.gen(function*() {
      const { entries, stdout } = yield* outputWithKey("30-resilience.ts", Answer.text("A real answer."))
      expect(stdout).toContain("no faults injected")
      expect(stdout.match(/A real answer\./g)).toHaveLength(3)
      expect(entries.map(({ outcome, status }) => `${status} ${outcome}`)).toEqual(
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
      expect(stdout).toMatch(/as it arrives\n(?:.*\n)*Acme: de.*\n[^]*\nAcme owes 1230 euros\n$/)
    }))

  it.live(
    "limits shows load and limits as they move, starves nobody, and spends nothing where there is a key",
    () =>
      Effect.gen(function*() {
        const { log, url } = yield* ClaudeSimulator.make()
        const environment = { ANTHROPIC_API_KEY: "sk-ant-of-the-reader", ANTHROPIC_BASE_URL: url }
        const { code, stderr, stdout } = yield* run("60-limits.ts", environment)
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        expect((yield* log).requests).toBe(0)
        expect(stdout).toMatch(/^A simulator on this machine answers, with a key too: nothing is spent\.\n\n +queue/)
        const [heading, ...lines] = stdout.split("\n").slice(2)
        expect(heading!.trim().split(/ {2,}/)).toEqual(
          ["queue", "in flight", "level", "capacity", "rate", "served", "429", "529", "large", "small"]
        )
        expect(lines.filter((line) => line.length > 79)).toEqual([])
        // All in their columns, whatever their figures.
        const figures = lines.filter((line) => /^ *[\d.]+ s {2}/.test(line))
        expect(figures.filter((line) => line.length !== heading!.length)).toEqual([])
        expect(figures.length).toBeGreaterThan(8)
        expect(figures.length).toBeLessThan(30)
        for (
          const title of [
            "A calm start",
            "More load than the rate limit allows",
            "The limit is raised: now capacity is what bounds",
            "The server shrinks to a half",
            "It is back, and the queue drains"
          ]
        ) expect(lines.filter((line) => line === title)).toEqual([title])

        const seen = figures.map((line) => line.slice(6).split(/ +/).slice(1, 7).map(Number))
        const known = (column: number) => seen.map((row) => row[column]!).filter(Number.isFinite)
        expect(Math.max(...known(0))).toBeGreaterThan(5)
        expect(Math.max(...known(1))).toBeGreaterThan(5)
        expect(Math.max(...known(2))).toBeGreaterThan(Math.min(...known(2)))
        expect(known(3)).toEqual(expect.arrayContaining([12, 24]))
        // Nobody told the client of the limit but the responses.
        expect(new Set(known(4))).toEqual(new Set([60, 150]))
        expect(known(5)).toEqual(known(5).toSorted((a, b) => a - b))

        const [, calls, busy, large, small] = stdout.match(
          /^(\d+) calls served, (?:none|[\w ,]+) failed; ([\d.]+)% saw a 429, [\d.]+% a 529\.\nThe slowest call of the large tenant took ([\d.]+) s, of the small ([\d.]+) s\.\n$/m
        )?.map(Number) ?? []
        expect(calls).toBeGreaterThan(100)
        expect(busy).toBeLessThan(5)
        // Who asks little does not wait behind who asks much.
        expect(small).toBeLessThan(large! / 2)
      }),
    60_000
  )

  it.live("limits ends cleanly when it is interrupted", () =>
    Effect.map(interrupted("60-limits.ts", "A calm start"), (stdout) => {
      expect(stdout).not.toContain("calls served")
    }))

  it.live("limits is redrawn in place on a terminal, without a color where none is wanted", () =>
    Effect.gen(function*() {
      // Its standard output passes for one, of 24 lines of 80; an environment's option has no blanks.
      const terminal = "{isTTY:true,columns:80,rows:24,getColorDepth:WriteStream.prototype.getColorDepth}"
      const module = `import{WriteStream}from'node:tty';Object.assign(process.stdout,${terminal})`
      const written = yield* interrupted("60-limits.ts", (soFar) => soFar.split("A calm start").length > 5, {
        NODE_OPTIONS: `--import=data:text/javascript,${module}`,
        TERM: "xterm-256color",
        NO_COLOR: "1"
      })
      const [before, panel = ""] = written.replaceAll("\u001B[", "␛").split("␛?25l")
      expect(before).toMatch(/nothing is spent\.\n\n$/)
      expect(panel).toMatch(/␛\?25h$/)
      const draws = panel.slice(0, panel.lastIndexOf("␛")).split(/␛\d+A/)
      expect(draws.length).toBeGreaterThan(4)
      // Each goes back over as many lines as there were, and overwrites them whole.
      const height = draws[0]!.split("\n").length - 1
      expect([...panel.matchAll(/␛(\d+)A/g)].map(([, lines]) => Number(lines))).toEqual(
        draws.slice(1).map(() => height)
      )
      for (const draw of draws) {
        const lines = draw.split("␛K\n")
        expect(lines.length - 1).toBe(height)
        expect(lines.filter((line) => line.length > 79 || line.includes("␛"))).toEqual([])
        expect(lines).toContainEqual(
          expect.stringMatching(/^in flight [ ▁▂▃▄▅▆▇█]{25} +[–\d]+ {2}claude\.client\.active_requests$/u)
        )
      }
    }))

  it.live("effect-ai runs a tool, an object and a stream by one layer, each call with its trace", () =>
    Effect.map(output("51-effect-ai.ts"), (stdout) => {
      expect(stdout).toContain("tool    3 are left\nobject  order 40 × umbrella\nstream  Rain is only weather.\n")
      expect([rows(stdout, "chat "), rows(stdout, "POST #1")]).toEqual([3, 3])
    }))

  it.live("agent-with-tools tries again, waits for an approval, and goes on to its end", () =>
    Effect.map(output("52-agent-with-tools.ts"), (stdout) => {
      expect(stdout).toMatch(/^ {2}Forecast +success: "heavy rain" \d+ ms, 2 attempts$/m)
      expect(stdout).toMatch(/I would order more\.\n {2}Order +waits for an approval/)
      expect(stdout).toContain("  the shop has ordered 40 × umbrella\n")
      expect(stdout).toMatch(/^done: 1 turns in the last run, \$0\.\d+$/m)
    }))

  it.live("mcp finds a server's tools and uses them, and is asked over MCP itself", () =>
    Effect.map(output("53-mcp.ts"), (stdout) => {
      expect(stdout).toContain("Everything Reference Server has 12 tools:\n  echo, ")
      expect(stdout).toMatch(/^ {2}get-structured-content success: \{"temperature":73,/m)
      expect(stdout).toContain(
        "  get-sum success: The sum of 73 and -36 is 37.\nYes: Los Angeles is 37 degrees warmer.\n"
      )
      expect(stdout).toMatch(/^weather offers ask_forecaster: .*\nNo\. It is cloudy in New York, and dry\.$/m)
    }))

  it.live("files go together as they fit, and what cannot be sent is told before", () =>
    Effect.map(output("56-files.ts"), (stdout) => {
      expect(stdout.match(/^A (white pixel|short text)\.$/gm)).toHaveLength(5)
      expect(stdout).toContain("! \"photo.jpg\" is no JPEG, PNG, GIF or WebP image, but an HTML page. Convert it.")
    }))

  it.live("guards hide, restore, refuse and redact", () =>
    Effect.map(output("57-guards.ts"), (stdout) => {
      expect(stdout).toMatch(/^sent +I am Jo \(\[EMAIL_1\], \[PHONE_1\]\)/m)
      expect(stdout).toMatch(/^answered .*jo@example\.com/m)
      expect(stdout).toMatch(/^refused +The guard "no confidential mail" refused the request/m)
      expect(stdout).toMatch(/^streamed +Paid by card \[CARD\], thank you!$/m)
    }))

  it.live("prompts-ab splits by customer, follows the file, and is not misled by one that is wrong", () =>
    Effect.map(output("54-prompts-ab.ts"), (stdout) => {
      const shares = [...stdout.matchAll(/^(\d) of 6 by version 2$/gm)].map(([, share]) => share)
      expect(shares).toEqual(["3", "6", "0"])
      const versions = (name: string) => [...stdout.matchAll(new RegExp(`^${name} +v(\\d) `, "gm"))].map(([, v]) => v)
      expect(versions("Ann")).toEqual(["1", "2", "1"])
      expect(versions("Cleo")).toEqual(["2", "2", "1"])
      expect(stdout).toContain(
        "reply.yaml:4, prompt \"reply\", version \"3\", key weights.3: There is no version \"3\""
      )
    }))

  it.live("long-document shows how far it is, asks again about the chunk that failed alone, and then only what is missing", () =>
    Effect.map(output("55-long-document.ts"), (stdout) => {
      const bars = [
        ...stdout.matchAll(/^[█░]{24} +(\d+)% {2}chunks (\d+) {2}reductions (\d+) {2}tokens \d+k {2}\$(\S+)$/gmu)
      ]
        .map(([, ...figures]) => figures.map(Number))
      const ends = bars.filter(([percent], index) => percent === 100 && bars[index + 1]?.[0] !== 100)
      expect(ends).toHaveLength(2)
      const [[, mapped = 0, reduced = 0, cost = 0] = [], [, all = 0, reducedAgain = 0, costAgain = 0] = []] = ends
      expect(mapped).toBeGreaterThan(20)
      expect([all, reducedAgain]).toEqual([mapped + 1, reduced])
      // What was given back is not paid for again.
      expect(costAgain).toBeLessThan(cost / 4)
      expect(stdout).toMatch(
        /^! chunk \d+ \(bytes \d+ to \d+\) failed: InvalidRequest\. It is asked about again, alone\.$/m
      )
      expect(stdout).toMatch(/\n\nDays 1 to 1500: .*The keeper kept count\.\n$/)
      expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([])
    }))

  it.live("long-document asks little where there is a key", () =>
    Effect.gen(function*() {
      const { entries, stdout } = yield* outputWithKey("55-long-document.ts", Answer.text("A real answer."))
      expect(stdout.endsWith("\n\nA real answer.\n")).toBe(true)
      expect(entries.length).toBeLessThan(15)
    }))

  it.live("long-document ends cleanly when it is interrupted", () =>
    Effect.map(interrupted("55-long-document.ts", "%"), (stdout) => expect(stdout).not.toContain("Days 1 to")))

  it.live("budget warns, refuses what does not fit with what it knows, and reports what was used", () =>
    Effect.map(output("61-budget.ts"), (stdout) => {
      expect(stdout).toMatch(/^acme\nrain .*\n! acme has spent 50% of its \$0\.0300: \$0\.0158 so far\ntides /m)
      expect(stdout).toMatch(/^! acme has spent 75% of its \$0\.0300: \$0\.0237 so far\nthunder /m)
      expect(stdout).toMatch(
        /^wind +Not sent: it may cost \$0\.0123, and \$0\.0237 of \$0\.0300 are spent\. Again in (\d+h ?)?(\d+m)?\.$/m
      )
      expect(stdout).toMatch(/^globex\nwind +Warm air/m)
      const [, table = "", end] = stdout.split(/^(?=day)/m).flatMap((part) => part.split("\n\n")).slice(-3)
      expect(table.split("\n").map((line) => line.replace(/^\d{4}-\d\d-\d\d/, "2026-11-21"))).toEqual([
        "day         tenant  model              requests        in       out      cost",
        "2026-11-21  acme    claude-opus-5-5           3        84      1170   $0.0237",
        "2026-11-21  globex  claude-opus-5-5           1        28       390   $0.0079"
      ])
      expect(end).toBe("At the prices of a file (contract 7) one more call cost $0.0071.\n")
    }))

  it.live("budget bounds what it spends where there is a key", () =>
    Effect.gen(function*() {
      const usage = { input_tokens: 28, output_tokens: 500 }
      const { entries, stdout } = yield* outputWithKey("61-budget.ts", Answer.text("A real answer.", { usage }))
      // Two at a cent each leave too little for a third that might come to more.
      expect(stdout.match(/Not sent/g)).toHaveLength(2)
      expect(entries).toHaveLength(4)
    }))

  it.live("budget ends cleanly when it is interrupted", () =>
    Effect.map(interrupted("61-budget.ts", "rain"), (stdout) => expect(stdout).not.toContain("globex")))

  it.live("fallback goes on after an overload or a refusal, says who served, and answers by itself where none is left", () =>
    Effect.map(output("62-fallback.ts"), (stdout) => {
      const [, busy = "", refused = "", elsewhere = "", nobody = ""] = stdout.split(/^\d\. .*\n/m)
      const all = [busy, refused, elsewhere, nobody]
      expect(all.map((section) => /served by (\S+)/.exec(section)?.[1])).toEqual(
        ["claude-sonnet-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", undefined]
      )
      expect(all.map((section) => rows(section, "POST #"))).toEqual([3, 2, 5, 6])
      for (const section of [busy, refused, elsewhere]) {
        expect(section).toContain("\nRain is only weather.\n")
        expect(section).toMatch(/^chat claude-opus-5-5 .* success$/m)
        expect(section).toMatch(/^└ POST #\d .* 200$/mu)
      }
      expect(refused).toMatch(/^├ → claude-sonnet-5-5 .* refusal$/mu)
      expect(nobody).toContain("\nStay dry! (Yesterday's slogan; Claude is busy.)\n")
      expect(nobody).toMatch(/^chat claude-opus-5-5 .* overloaded_error$/m)
      expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([])
    }))

  it.live("fallback makes one call where there is a key, which the first model answers", () =>
    Effect.gen(function*() {
      const { entries, stdout } = yield* outputWithKey("62-fallback.ts", Answer.text("A real answer."))
      expect(stdout).toContain("\nNothing is down: the first model answers\n\nA real answer.\n\nchat claude-opus-5-5 ")
      expect(stdout).not.toContain("served by")
      expect(entries).toHaveLength(1)
    }))

  it.live("fallback ends cleanly when it is interrupted", () =>
    Effect.map(interrupted("62-fallback.ts", "2. "), (stdout) => expect(stdout).not.toContain("3. ")))

  it.live("cache answers again at no cost, shares among twins, survives a restart, and tells of a prompt that was gone", () =>
    Effect.map(output("63-cache.ts"), (stdout) => {
      const [, memory = "", files = "", prompts = ""] = stdout.split(/^(?:Answers|The API's).*\n/m)
      const untimed = (table: string) =>
        table.replaceAll(/ +\d+ ms/g, "").trimEnd().split("\n").map((line) => line.split(/ {2,}/))
      const paid = ["1", "0 of 1", "$0.00026"]
      const free = ["0", "1 of 1", "$0.00000"]
      expect(untimed(memory)).toEqual([
        ["asked", ...paid],
        ["asked again", ...free],
        ["asked as a stream", ...free],
        ["asked by five at once", "1", "4 of 5", "$0.00026"]
      ])
      expect(untimed(files)).toEqual([["asked", ...paid], ["asked after a restart", ...free]])
      // A call takes its time, and what was kept does not.
      for (const table of [memory, files]) {
        const [asked, again] = [...table.matchAll(/(\d+) ms/g)].map(([, millis]) => Number(millis))
        expect(asked).toBeGreaterThan(2 * again!)
      }
      expect(prompts).toMatch(/^asked +\d+ ms +1 +0 of 1 +\$0\.0092\d {5}3620$/m)
      expect(prompts).toMatch(/^asked something else +\d+ ms +1 +0 of 1 +\$0\.0005\d {13}3620$/m)
      expect(prompts).toMatch(/^asked when it was gone +\d+ ms +1 +0 of 1 +\$0\.0092\d {5}3620$/m)
      expect(prompts.endsWith("\n! claude.prompt_cache.misses is 1\n")).toBe(true)
    }))

  it.live("cache asks for nothing twice where there is a key", () =>
    Effect.gen(function*() {
      const { entries, stdout } = yield* outputWithKey("63-cache.ts", Answer.text("A real answer."))
      expect(stdout).toMatch(/^asked after a restart +\d+ ms +0 +1 of 1 +\$0\.00000$/m)
      expect(stdout).not.toContain("gone")
      expect(entries).toHaveLength(5)
    }))

  it.live("cache takes its files with it when it is interrupted", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(`${tmpdir()}/examples-`)
      const stdout = yield* interrupted("63-cache.ts", "Answers in files", { TMPDIR: folder })
      expect(stdout).not.toContain("prompt cache")
      expect(readdirSync(folder)).toEqual([])
      rmdirSync(folder)
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
      "examples/50-structured-output.ts": ["object", "object-stream"],
      "examples/51-effect-ai.ts": ["effect-ai"],
      "examples/52-agent-with-tools.ts": ["agent"],
      "examples/53-mcp.ts": ["mcp"],
      "examples/54-prompts-ab.ts": ["prompts"],
      "examples/55-long-document.ts": ["long-document"],
      "examples/56-files.ts": ["files"],
      "examples/57-guards.ts": ["guards", "guards-layer"],
      "examples/60-limits.ts": ["limits"],
      "examples/61-budget.ts": ["budget", "usage", "pricing"],
      "examples/62-fallback.ts": ["fallback"],
      "examples/63-cache.ts": ["response-cache", "prompt-cache"],
      "test/examples-testing.test.ts": ["testing"],
      "test/redis/readme.test.ts": ["shared"]
    }
    for (const [path, names] of Object.entries(regions)) {
      for (const name of names) {
        expect(regionOf(fromRoot(path), name), `${path}#${name}`).toMatch(/(?:Claude|Agent|Guard)\./)
      }
    }
  })
})
