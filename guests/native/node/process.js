// `process`, where a task differs from a program of its own.

/** What ends a task that calls process.exit(). */
class Exit extends Error {
  constructor(code) {
    super(`the task called process.exit(${code ?? ""})`);
    this.name = "ProcessExit";
    this.exitCode = code ?? 0;
  }
}

/** Ends this process. */
export const exit = process.exit.bind(process);

process.exit = (code) => {
  throw new Exit(code ?? process.exitCode);
};

/** Says which program runs. */
export function setArguments(file) {
  process.argv = [process.execPath, file];
}
