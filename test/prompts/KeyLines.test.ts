import { assert, describe, it } from "@effect/vitest"
import * as KeyLines from "../../src/prompts/KeyLines.ts"

const yaml = `# a comment: here
---
first:
  versions:
    1:
      prompt: |
        versions:
          2: not a key
      system: x
second: # with a comment
    latest: 2
    weights: { 1: 5, 2: 5 }
    versions:

        "1":
            messages:
            - role: user
              content: hi

            - content:
                - type: text
                  text: hi
                -
                  type: image
              role: assistant
        '2':
            prompt: there
        1.10: { prompt: one }
`

describe("the line of a key", () => {
  it("is found in block style, by indentation", () => {
    for (
      const [path, line] of [
        [["first"], 3],
        [["first", "versions"], 4],
        [["first", "versions", "1", "prompt"], 6],
        [["first", "versions", "1", "system"], 9],
        [["second"], 10],
        [["second", "latest"], 11],
        [["second", "versions", "1"], 15],
        [["second", "versions", "1", "messages"], 16],
        [["second", "versions", "1", "messages", 0], 17],
        [["second", "versions", "1", "messages", 0, "role"], 17],
        [["second", "versions", "1", "messages", 0, "content"], 18],
        [["second", "versions", "1", "messages", 1, "content"], 20],
        [["second", "versions", "1", "messages", 1, "content", 0, "text"], 22],
        [["second", "versions", "1", "messages", 1, "content", 1, "type"], 24],
        [["second", "versions", "1", "messages", 1, "role"], 25],
        [["second", "versions", "2", "prompt"], 27]
      ] as ReadonlyArray<[ReadonlyArray<string | number>, number]>
    ) assert.strictEqual(KeyLines.make(yaml)(path), line, JSON.stringify(path))
  })

  it("is that of the nearest key above, where it is not found itself", () => {
    assert.strictEqual(KeyLines.make(yaml)(["second", "weights", "2"]), 12)
    assert.strictEqual(KeyLines.make(yaml)(["second", "versions", "1.10", "prompt"]), 28)
    assert.strictEqual(KeyLines.make(yaml)(["first", "versions", "2"]), 4)
    assert.strictEqual(KeyLines.make(yaml)(["second", "versions", "1", "messages", 7]), 16)
    assert.isUndefined(KeyLines.make(yaml)(["third", "versions"]))
    assert.isUndefined(KeyLines.make("")(["a"]))
    assert.isUndefined(KeyLines.make(yaml)([]))
  })

  it("is found in JSON as it is printed", () => {
    const json = JSON.stringify(
      { a: { versions: { 1: { prompt: "x" }, 2: { stop_sequences: ["x"], prompt: "y" } } } },
      null,
      2
    )
    assert.strictEqual(KeyLines.make(json)(["a", "versions", "2", "prompt"]), 11)
    assert.strictEqual(KeyLines.make(JSON.stringify({ a: 1 }))(["a"]), undefined)
  })
})
