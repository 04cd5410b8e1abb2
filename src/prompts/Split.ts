/**
 * Which version of a prompt a key gets, by weights: the same key, the same version, on every machine.
 *
 * By weighted rendezvous hashing: each version draws a number from the key and its own name, scaled by its weight, and
 * the largest wins. So when weights change, a key only ever moves to a version whose share grew, from one whose share
 * shrank, and as few keys move as can. The prompt's name is part of the draw: tests of two prompts are independent.
 */

/** Versions and their weights, in any unit: 90 and 10, or 0.9 and 0.1. @internal */
export type Weights = ReadonlyArray<readonly [version: string, weight: number]>

/** A version, or nothing where none has a weight. @internal */
export const choose = (prompt: string, key: string, weights: Weights): string | undefined => {
  let chosen: string | undefined
  let least = Infinity
  for (const [version, weight] of weights) {
    if (weight <= 0) continue
    // The least of these waiting times is a version's as often as its weight says; by their logarithms, which no weight
    // is too small or too large for.
    const draw = Math.log(-Math.log(unit(JSON.stringify([prompt, version, key])))) - Math.log(weight)
    if (draw < least) {
      chosen = version
      least = draw
    }
  }
  return chosen
}

/** A number above 0 and below 1, of 53 bits, that a text always draws. */
const unit = (text: string): number => {
  // Two hashes of 32 bits with the finalizer of murmur3; no secret depends on them.
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    a = Math.imul(a ^ code, 2654435761)
    b = Math.imul(b ^ code, 1597334677)
  }
  const high = finish(a ^ (b >>> 15))
  const low = finish(b ^ (a >>> 13) ^ high)
  return ((high >>> 0) * 0x20_0000 + (low >>> 11) + 0.5) / 2 ** 53
}

const finish = (hash: number): number => {
  let mixed = hash
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
