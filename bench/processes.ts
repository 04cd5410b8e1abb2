/** Builds what is measured, and runs the server and the workers, each in a process of its own. */
import { execFileSync, spawn } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Job, Measured } from "./worker.ts"

const root = join(import.meta.dirname, "..")
const limitMs = 180_000

/** A copy of the package, in which the bench is a program that imports the library by its name. */
export interface Built {
  readonly folder: string
}

/**
 * Compiles the library and the bench into a folder that goes with this process, so that nothing changes under a long run.
 * The workers are JavaScript: stripping types at run time would add some 20 MB to every contender, which flatters all the ratios.
 */
export const build = (): Built => {
  const folder = mkdtempSync(join(root, "node_modules", ".bench-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1))
  copyFileSync(join(root, "package.json"), join(folder, "package.json"))
  const tsc = (...args: ReadonlyArray<string>): void => {
    const file = join(root, "node_modules", "typescript", "bin", "tsc")
    execFileSync(process.execPath, [file, ...args], { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
  }
  tsc("-p", "src", "--outDir", join(folder, "dist"))
  // `npm run check` has checked these types, against the sources.
  tsc("-p", "bench", "--outDir", join(folder, "bench"), "--noCheck")
  return { folder }
}

/** Starts the server and gives its port; it ends with this process. */
export const serve = (): Promise<number> => {
  const server = spawn(process.execPath, [join(import.meta.dirname, "server.ts")], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  return new Promise((resolve, reject) => {
    server.stdout.once("data", (port) => resolve(Number(port)))
    server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
  })
}

/** Measures one job in a fresh process. */
export const measure = ({ folder }: Built, job: Job): Promise<Measured> =>
  new Promise((resolve, reject) => {
    const worker = spawn(process.execPath, [join(folder, "bench", "worker.js"), JSON.stringify(job)], {
      cwd: root,
      env: { ...process.env, NODE_ENV: "production" },
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      timeout: limitMs,
      killSignal: "SIGKILL"
    })
    let errors = ""
    let result = ""
    worker.stderr?.on("data", (chunk) => errors += chunk)
    worker.stdio[3]?.on("data", (chunk) => result += chunk)
    worker.once("close", (code) => {
      if (result !== "") return resolve(JSON.parse(result))
      const end = code === null ? `was ended after ${limitMs / 1000} s` : `ended with ${code}`
      reject(new Error(`${job.contender} on ${job.load.path} ${end}: ${errors}`))
    })
  })
