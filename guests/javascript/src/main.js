// What the host calls. Evaluated once, when the runtime is built; its memory is the image.

import { getDirectories } from "wasi:filesystem/preopens@0.2.0";

import { tellLate } from "./environment.js";
import { stat } from "./files/wasi.js";
import * as loop from "./loop.js";
import * as operations from "./operations.js";
import * as program from "./program.js";
import { rehearse } from "./rehearsal.js";
import * as report from "./report.js";
import * as session from "./session.js";
import { flush } from "./output.js";
import "./globals.js";

// A step of `work`, or the failure that the interface knows.
function attempt(work) {
  try {
    return work();
  } catch (error) {
    throw report.of(error);
  } finally {
    flush();
  }
}

export const readProgram = () => attempt(program.read);

export const load = (environment) => attempt(() => program.load(environment));

export const begin = (task, given, environment) =>
  attempt(() => loop.begin(() => program.invoke(task, given, environment)));

export const advance = (events) =>
  attempt(() => {
    const isHeard = operations.deliver(events);
    return loop.advance(isHeard);
  });

export async function evaluate(code, name) {
  try {
    return await session.evaluate(code, name);
  } catch (error) {
    throw report.of(error);
  } finally {
    flush();
  }
}

// There are no packages that are imported ahead: a program's are in its text.
export const absorb = () => [];

const roots = [];

// The memory of this instance comes from another one: opens the handles that it believes to
// hold. They are kept, because one that nobody refers to is given back.
export function wake(count) {
  for (let index = 0; index < count; index++) roots.push(getDirectories());
}

await rehearse();

// Looks that the host sees: at a file that is nowhere, and for a random number.
tellLate(
  () => {
    try {
      stat("/looked at a variable");
    } catch {
      // There is none.
    }
  },
  () => crypto.getRandomValues(new Uint8Array(1)),
);
