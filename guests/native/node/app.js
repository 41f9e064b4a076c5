// One call of one task, from the first frame to the last.

import * as channel from "./channel.js";
import { tell } from "./host.js";
import * as network from "./network.js";
import { exit } from "./process.js";
import * as program from "./program.js";
import * as report from "./report.js";
import { isHereToStay } from "./stack.js";
import { encode } from "./values.js";

/** Nothing is there that could go on. */
class Deadlock extends Error {
  constructor() {
    super("deadlock: the task waits for a promise that nothing can settle");
    this.name = "Deadlock";
  }
}

/** Loads the program, calls the task, tells what came of it. */
export async function main({ program: source, environment, task, arguments: given }) {
  tell(source);
  // From here on what fails is the program, and not the interpreter.
  channel.send({ hello: {} });
  isHereToStay();
  network.install();
  process.on("uncaughtException", (error) => {
    // A program that has a listener of its own goes on.
    if (process.listenerCount("uncaughtException") === 1) fail(error);
  });
  process.on("beforeExit", () => fail(new Deadlock()));
  try {
    program.load(environment);
    succeed(encode(await program.invoke(task, given, environment)));
  } catch (error) {
    fail(error);
  }
}

let isOver = false;

function succeed(value) {
  const answer = channel.frame(`{"done":${value}}`, "the result");
  finish(answer);
}

function fail(error) {
  const { kind, message, detail } = report.of(error);
  finish(channel.frame(JSON.stringify({ failed: { kind, message, traceback: detail } })));
}

/** The first answer counts. What is left is what every program does when it ends. */
function finish(answer) {
  if (isOver) return;
  isOver = true;
  channel.finish(answer, () => exit(0));
}
