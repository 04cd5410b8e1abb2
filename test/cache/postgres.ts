/** A real Postgres in this process, behind a socket of its own. */
import { PgClient } from "@effect/sql-pg"
import { PGlite } from "@electric-sql/pglite"
import { PGLiteSocketServer } from "@electric-sql/pglite-socket"
import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"

const server = Effect.acquireRelease(
  Effect.promise(async () => {
    const db = await PGlite.create()
    const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0, maxConnections: 4 })
    await server.start()
    return { db, server, port: Number(server.getServerConn().split(":").at(-1)) }
  }),
  ({ db, server }) =>
    Effect.promise(async () => {
      await server.stop()
      await db.close()
    })
)

/** A client of a database that lives as long as the layer. */
export const layer: Layer.Layer<SqlClient.SqlClient> = Layer.unwrap(
  Effect.map(
    server,
    ({ port }) =>
      Layer.orDie(
        PgClient.layer({ host: "127.0.0.1", port, username: "postgres", database: "postgres", maxConnections: 2 })
      )
  )
)
