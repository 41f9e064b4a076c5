// What a guest may ask its host, by the names of the interface `capsule:guest/host`.

import * as channel from "./channel.js";

let program;

/** Says what the program is. */
export function tell(given) {
  program = given;
}

/** The source of the program; any bytes, which came as Latin-1. */
export const source = () => ({ path: program.path, source: Buffer.from(program.source, "latin1") });

/** Begins a call of another task: its number, and a promise of what the host says. */
export function call(task, given) {
  // JSON in JSON may need two bytes for one.
  if (given.length > channel.MOST / 2) throw new channel.TooLarge(`the call of ${task}`, given.length);
  return channel.ask("call", { task: task.toWellFormed(), arguments: given });
}

/** Ends a call; whoever asks has not heard of its end. */
export const cancel = channel.forget;
