/**
 * A folder of images and texts becomes parts of messages: four files are read at a time, and as many go together as fit.
 * What the API would not take is refused here: run it with `node examples/56-files.ts`, with or without ANTHROPIC_API_KEY.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, FileSystem, Layer, Stream } from "effect"
import { Claude } from "effect-claude"
import { Attachment } from "effect-claude/files"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region files
const describe = (files: ReadonlyArray<Attachment.Attachment>) =>
  Claude.text({
    model: "claude-haiku-5-5",
    max_tokens: 300,
    messages: [{ role: "user", content: [...files, { type: "text", text: "What are these? One line for each." }] }]
  })

const describeAll = (paths: ReadonlyArray<string>) =>
  Stream.fromIterable(paths).pipe(
    Stream.mapEffect((path) => Attachment.file(path, { title: path }), { concurrency: 4 }),
    Attachment.batches({ maxFiles: 3 }),
    Stream.mapEffect(describe, { concurrency: 2 })
  )
// #endregion

// A white pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped()
  const write = (name: string, bytes: string | Uint8Array) =>
    Effect.as(fs.writeFile(`${folder}/${name}`, Buffer.from(bytes)), `${folder}/${name}`)

  const paths = yield* Effect.all([
    write("logo.png", Buffer.from(pixel, "base64")),
    write("notes.txt", "The shop opens at nine, umbrellas hang by the door."),
    write("stock.csv", "article,count\numbrella,3\nraincoat,12\n"),
    write("scan-without-extension", Buffer.from(pixel, "base64")),
    write("todo.md", "- mend the umbrella stand")
  ])
  yield* Console.log(styleText("bold", `${paths.length} files, three of them to a call`))
  yield* Stream.runForEach(describeAll(paths), Console.log)

  yield* Console.log(styleText("bold", "\nRefused before anything is sent"))
  const refused = [
    Attachment.image(yield* write("photo.jpg", "<!doctype html><title>Sign in</title>")),
    Attachment.text(paths[0]!),
    Attachment.image("/dev/zero"),
    Attachment.file(paths[2]!, { maxBytes: 20 })
  ]
  for (const attachment of refused) {
    const { message } = yield* Effect.flip(attachment)
    yield* Console.log(`${styleText("yellow", "!")} ${message.replaceAll(`${folder}/`, "")}`)
  }
})

const answers = ({ body }: { readonly body: { readonly messages?: ReadonlyArray<{ readonly content: unknown }> } }) => {
  const blocks = body.messages?.[0]?.content as ReadonlyArray<{ readonly type: string }>
  return Answer.text(
    blocks.slice(0, -1).map(({ type }) => type === "image" ? "A white pixel." : "A short text.").join("\n")
  )
}

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.merge(Claude.layerConfig.pipe(Layer.provide(Api.layer(answers))), NodeServices.layer)),
  NodeRuntime.runMain
)
