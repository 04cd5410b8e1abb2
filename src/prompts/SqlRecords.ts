/**
 * Records of prompts in a table of SQL: name, version and content, which is JSON. People may read it, and change what is
 * served by an UPDATE of the row whose version is `latest`.
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
    // What the database says may hold the statement, and the text of a prompt in it.
    Effect.mapError(self, ({ reason }) => PromptFailure.unavailable(tableName, `SQL did not ${what}: ${reason._tag}.`))

  yield* asking(
    "make the table",
    sql.onDialectOrElse({
      mysql: () =>
        sql`CREATE TABLE IF NOT EXISTS ${table} (
          name VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
          version VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
          content LONGTEXT NOT NULL,
          PRIMARY KEY (name, version)
        )`,
      mssql: () =>
        sql`IF NOT EXISTS (SELECT * FROM sysobjects WHERE name=${tableName} AND xtype='U')
        CREATE TABLE ${table} (
          name NVARCHAR(128) COLLATE Latin1_General_BIN2 NOT NULL,
          version NVARCHAR(64) COLLATE Latin1_General_BIN2 NOT NULL,
          content NVARCHAR(MAX) NOT NULL,
          PRIMARY KEY (name, version)
        )`,
      orElse: () =>
        sql`CREATE TABLE IF NOT EXISTS ${table} (
          name VARCHAR(128) NOT NULL,
          version VARCHAR(64) NOT NULL,
          content TEXT NOT NULL,
          PRIMARY KEY (name, version)
        )`
    })
  )

  const insert = ({ name, version }: Records.Key, content: string): Fragment =>
    sql`INSERT INTO ${table} (name, version, content) VALUES (${name}, ${version}, ${content})`
  const merge = ({ name, version }: Records.Key, content: string): Fragment =>
    sql`MERGE ${table} WITH (HOLDLOCK) AS target
    USING (SELECT ${name} AS name, ${version} AS version, ${content} AS content) AS source
    ON target.name = source.name AND target.version = source.version
    WHEN NOT MATCHED THEN INSERT (name, version, content) VALUES (source.name, source.version, source.content)`

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
    add: (key, text) =>
      Effect.asVoid(asking(
        "keep a prompt",
        sql.onDialectOrElse({
          mysql: () => sql`${insert(key, text)} ON DUPLICATE KEY UPDATE name = name`,
          mssql: () => sql`${merge(key, text)};`,
          orElse: () => sql`${insert(key, text)} ON CONFLICT DO NOTHING`
        })
      )),
    set: (key, text) =>
      Effect.asVoid(asking(
        "keep a prompt",
        sql.onDialectOrElse({
          mysql: () => sql`${insert(key, text)} ON DUPLICATE KEY UPDATE content = VALUES(content)`,
          mssql: () => sql`${merge(key, text)} WHEN MATCHED THEN UPDATE SET content = source.content;`,
          orElse: () => sql`${insert(key, text)} ON CONFLICT (name, version) DO UPDATE SET content = EXCLUDED.content`
        })
      ))
  }
})
