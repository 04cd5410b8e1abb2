/** Documents that are made up, and numbers by chance that are the same each time. */

/** Whole numbers below a bound, by a seed. */
export const random = (seed: number) => {
  let state = seed * 0x9e3779b9 | 0
  return (below: number): number => {
    state = state + 0x6d2b79f5 | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Prose with headings and paragraphs, of at least so many characters. */
export const prose = (length: number, seed = 1): string => {
  const next = random(seed)
  const words = [
    "river",
    "stone",
    "the",
    "a",
    "water",
    "remembers",
    "under",
    "naïve",
    "slow",
    "日本",
    "carries",
    "light"
  ]
  const sentence = () => `${Array.from({ length: 4 + next(12) }, () => words[next(words.length)]).join(" ")}.`
  let text = ""
  for (let number = 1; text.length < length; number++) {
    text += `# Chapter ${number}\n\n`
    for (let left = 2 + next(5); left > 0; left--) {
      text += `${Array.from({ length: 1 + next(6) }, sentence).join(" ")}\n\n`
    }
  }
  return text
}
