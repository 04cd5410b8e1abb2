/** A SQLite in this process, as a client of SQL. */
import { Effect, Layer, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"
import { DatabaseSync } from "node:sqlite"

/** A client of a database that lives as long as the layer; in another dialect only its words are other. */
export const layer = (dialect: Statement.Dialect = "sqlite"): Layer.Layer<SqlClient.SqlClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function*() {
      const database = yield* Effect.acquireRelease(
        Effect.sync(() => new DatabaseSync(":memory:")),
        (database) => Effect.sync(() => database.close())
      )
      const run = (sql: string, params: ReadonlyArray<unknown>) =>
        Effect.try({
          try: () => database.prepare(sql).all(...params as ReadonlyArray<string>),
          catch: (cause) => new SqlError.SqlError({ reason: new SqlError.UnknownError({ cause }) })
        })
      const connection: SqlConnection.Connection = {
        execute: run,
        executeRaw: run,
        executeUnprepared: run,
        executeValues: (sql, params) => Effect.map(run(sql, params), (rows) => rows.map((row) => Object.values(row))),
        executeValuesUnprepared: (sql, params) =>
          Effect.map(run(sql, params), (rows) => rows.map((row) => Object.values(row))),
        executeStream: (sql, params) => Stream.fromIterableEffect(run(sql, params))
      }
      const compiler = Statement.makeCompilerSqlite()
      return yield* SqlClient.make({
        acquirer: Effect.succeed(connection),
        compiler: Object.assign(Object.create(Object.getPrototypeOf(compiler)), compiler, { dialect }),
        driver: "node:sqlite",
        spanAttributes: []
      })
    })
  ).pipe(Layer.provide(Reactivity.layer))
