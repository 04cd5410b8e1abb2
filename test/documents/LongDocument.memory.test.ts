import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Told } from "./longMemory.ts"
import { prose } from "./longSupport.ts"

const program = fileURLToPath(new URL("longMemory.ts", import.meta.url))

/** Runs the program with what it was compiled to, and without a compiler in its memory: as who runs what is built. */
const run = async (directory: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const env = { PATH: process.env["PATH"], NODE_COMPILE_CACHE: join(directory, "compiled") }
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { env })
  return stdout
}

describe("a file of 50 MB", () => {
  it("is asked about, whole, in a small part of its size", async () => {
    const directory = mkdtempSync(join(tmpdir(), "effect-claude-"))
    try {
      const path = join(directory, "document.txt")
      const part = Buffer.from(prose(1_000_000))
      const bytes = part.length * Math.ceil(50_000_000 / part.length)
      for (let written = 0; written < bytes; written += part.length) writeFileSync(path, part, { flag: "a" })

      await run(directory)
      const told: Told = JSON.parse(await run(directory, path))
      assert.strictEqual(told.totals.bytes, bytes)
      assert.isAbove(told.totals.mapped, 1000)
      assert.match(told.text, /^A summary/)
      // What the process itself takes differs from machine to machine; in all it is less than 200 MB where this was written.
      assert.isBelow(told.resident - told.before, 130)
    } finally {
      rmSync(directory, { recursive: true })
    }
  }, 60_000)
})
