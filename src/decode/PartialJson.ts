/**
 * The longest valid prefix of a JSON text that was cut off, as a value: what is complete stays, the rest goes.
 *
 * A string, a number or a word that runs into the cut is dropped, with its key. Text that is not JSON is not repaired.
 */
import { JsonPrefix, type Open } from "./JsonPrefix.ts"

/** Parses JSON that may end early; throws `SyntaxError` where it is wrong rather than cut. @internal */
export const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (error) {
    const { isBroken, root } = read(text)
    if (isBroken || root === undefined || root._tag === "Text") throw error
    return closed(root)
  }
}

const read = (text: string): JsonPrefix => {
  const json = new JsonPrefix()
  json.add(text)
  return json
}

/** What is open as if it ended here; not by recursion, since it may be as deep as it likes. */
const closed = (root: Open): unknown => {
  const chain: Array<Open> = []
  for (let open: Open | undefined = root; open !== undefined; open = open._tag === "Text" ? undefined : open.open) {
    chain.push(open)
  }
  let inner: ReadonlyArray<unknown> = []
  for (const open of chain.toReversed()) {
    if (open._tag === "List") inner = [[...open.items, ...inner]]
    else if (open._tag === "Object") {
      inner = [Object.fromEntries([...open.entries, ...inner.map((value) => [open.key!, value] as const)])]
    }
  }
  return inner[0]
}
