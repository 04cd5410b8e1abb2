/**
 * Records of prompts in a table of Postgres or SQLite: name, version and content, which is JSON. People may read it, and
 * change what is served by an UPDATE of the row whose version is `latest`.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { LATEST } from "./PromptDocument.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import type * as Records from "./Records.ts"

/** The table is made where it is not there. @internal */
export const make = Effect.fnUntraced(function*(
  client: SqlClient.SqlClient,
  tableName: string
): Effect.fn.Return<Records.Records, PromptError.PromptError> {
  const sql = client.withoutTransforms()
  const table = sql(tableName)
  const asking = <A>(what: string, self: Effect.Effect<A, SqlError>) =>
    PromptFailure.inTime(
      tableName,
      // What the database says may hold the statement, and the text of a prompt in it.
      Effect.mapError(
        self,
        ({ reason }) => PromptFailure.unavailable(tableName, `SQL did not ${what}: ${reason._tag}.`)
      )
    )

  if (!sql.onDialectOrElse({ pg: () => true, sqlite: () => true, orElse: () => false })) {
    return yield* PromptFailure.unavailable(
      tableName,
      "Only Postgres and SQLite are known here. Keep prompts in a KeyValueStore over this database, by KeyValueStore.layerSql."
    )
  }
  const look = sql`SELECT name, version, content FROM ${table} WHERE 1 = 0`
  const create = sql`CREATE TABLE IF NOT EXISTS ${table} (
    name VARCHAR(128) NOT NULL,
    version VARCHAR(64) NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (name, version)
  )`
  // Who may only read and write rows finds a table that a migration has made; and of two processes that make it at the
  // same moment, one is told that it is there.
  yield* Effect.asVoid(look).pipe(
    Effect.catch(() => Effect.asVoid(create)),
    Effect.catch((error) => Effect.mapError(look, () => error)),
    (self) => asking("make the table", self)
  )

  const insert = ({ name, version }: Records.Key, content: string): Fragment =>
    sql`INSERT INTO ${table} (name, version, content) VALUES (${name}, ${version}, ${content}) ON CONFLICT (name, version)`

  return {
    name: tableName,
    keys: asking(
      "list the prompts",
      sql<{ readonly name: string; readonly version: string; readonly text: string | null }>`
        SELECT name, version, CASE WHEN version = ${LATEST} THEN content END AS text FROM ${table}`
    ).pipe(Effect.map((rows) => rows.map(({ name, text, version }) => ({ name, version, text: text ?? undefined })))),
    get: ({ name, version }) =>
      Effect.map(
        asking(
          "read a prompt",
          sql<{ readonly content: string }>`
            SELECT content FROM ${table} WHERE name = ${name} AND version = ${version}`
        ),
        (rows) => rows[0]?.content
      ),
    add: (key, text) => Effect.asVoid(asking("keep a prompt", sql`${insert(key, text)} DO NOTHING`)),
    set: (key, text) =>
      Effect.asVoid(asking("keep a prompt", sql`${insert(key, text)} DO UPDATE SET content = EXCLUDED.content`))
  }
})
