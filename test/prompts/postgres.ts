/**
 * A real Postgres for tests: a server of their own on loopback, or the one that POSTGRES_URL names.
 *
 * Where there is neither, the tests say so and are skipped; where CI is set, they fail.
 */
import { PgClient } from "@effect/sql-pg"
import { describe } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Scope } from "effect"
import type { SqlClient } from "effect/sql"
import { fork, spawnSync } from "node:child_process"
import { chownSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Word } from "../support/keeper.ts"

const external = process.env["POSTGRES_URL"] === "" ? undefined : process.env["POSTGRES_URL"]

const idOf = (option: "-u" | "-g") => Number(spawnSync("id", [option, "postgres"]).stdout)

/** Postgres runs as nobody who may do all: root runs it as the user that its package has made. */
const other = userInfo().uid === 0 ? { uid: idOf("-u"), gid: idOf("-g") } : undefined

const startable = spawnSync("initdb", ["--version"]).status === 0 && !(other !== undefined && !(other.uid > 0))

/** Where a Postgres listens that lives as long as the layer. */
export class PostgresUrl extends Context.Service<PostgresUrl, string>()("test/PostgresUrl") {
  static readonly layer = Layer.effect(
    PostgresUrl,
    Effect.suspend(() => external === undefined ? start : Effect.succeed(external))
  )
}

/** Another process's client of it. */
export const client = (url: string): Layer.Layer<SqlClient.SqlClient> =>
  Layer.fresh(Layer.orDie(PgClient.layer({ url: Redacted.make(url), maxConnections: 2 })))

/** A client of it. */
export const layer: Layer.Layer<SqlClient.SqlClient | PostgresUrl> = Layer.unwrap(
  Effect.map(PostgresUrl, client)
).pipe(Layer.provideMerge(PostgresUrl.layer))

const start: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "postgres-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  )
  if (other !== undefined) chownSync(directory, other.uid, other.gid)
  const as = other === undefined ? [] : ["setpriv", `--reuid=${other.uid}`, `--regid=${other.gid}`, "--clear-groups"]
  const initdb = [
    ...as,
    "initdb",
    "--no-sync",
    "--auth=trust",
    "--username=postgres",
    "--encoding=UTF8",
    "--pgdata",
    `${directory}/data`
  ]
  const made = spawnSync(initdb[0]!, initdb.slice(1))
  if (made.status !== 0) return yield* Effect.die(new Error(`initdb failed:\n${made.stderr.toString()}`))
  // A socket in the directory needs no free port; the keeper reads what is said on stdout.
  const options = ["-D", `${directory}/data`, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"]
  const postgres = [...as, "postgres", ...options].map((word) => `'${word}'`).join(" ")
  yield* Effect.acquireRelease(
    Effect.promise(() => keep(`exec ${postgres} 2>&1`)),
    ({ end }) => Effect.promise(end)
  )
  return `postgres://postgres@${encodeURIComponent(directory)}/postgres`
})

const keep = (command: string) =>
  new Promise<{ readonly end: () => Promise<unknown> }>((resolve, reject) => {
    const keeper = fork(
      fileURLToPath(new URL("../support/keeper.ts", import.meta.url)),
      ["ready to accept connections", "sh", "-c", command],
      { execArgv: ["--no-warnings"], stdio: ["ignore", "ignore", "ignore", "ipc"] }
    )
    const gone = new Promise((resolve) => keeper.once("exit", resolve))
    let pid = 0
    keeper.once("error", reject)
    keeper.on("message", (word: Word) => {
      if ("pid" in word) pid = word.pid
      else if (word.isReady) {
        // Its own processes end with it, and leave nothing behind.
        resolve({ end: () => (process.kill(pid, "SIGQUIT"), gone) })
      } else reject(new Error(`postgres ended at its start:\n${word.output}`))
    })
  })

/** A suite that needs it. */
export const describePostgres = (name: string, suite: () => void): void => {
  const isThere = startable || external !== undefined
  const missing = "no initdb on this machine and no POSTGRES_URL"
  if (!isThere && process.env["CI"]) throw new Error(`In CI the tests of ${name} must run: ${missing}`)
  if (!isThere) console.warn(`SKIPPED: ${missing}: ${name}`)
  const register = isThere ? describe : describe.skip
  register(isThere ? name : `SKIPPED: ${missing}: ${name}`, suite)
}
