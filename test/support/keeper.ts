/**
 * Runs a server for as long as the process that forked this one lives: it ends with the channel between them, however
 * the other ended. A server of a killed test would live on, and hold what it inherited.
 */
import { spawn } from "node:child_process"

/** What it says: the server's process, then that it is ready or why it is not. */
export type Word = { readonly pid: number } | { readonly isReady: boolean; readonly output: string }

const [, , ready = "", command, ...options] = process.argv
if (command !== undefined && process.connected) {
  const say = (word: Word) => process.connected && process.send?.(word)
  const server = spawn(command, options, { stdio: ["ignore", "pipe", "ignore"] })
  if (server.pid !== undefined) say({ pid: server.pid })
  let output = ""
  server.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (output.includes(ready)) return
    output += text
    if (output.includes(ready)) say({ isReady: true, output })
  })
  server.once("error", (error) => say({ isReady: false, output: String(error) }))
  server.once("exit", () => {
    say({ isReady: false, output })
    if (process.connected) process.disconnect()
    process.exit()
  })
  // Also a server that is stopped ends by this.
  process.once("disconnect", () => server.kill("SIGKILL"))
  // Those go to the whole group from a terminal: whoever forked this decides.
  process.on("SIGINT", () => {})
  process.on("SIGTERM", () => {})
}
