// `console`: formatted here, written by the host.

import { format, formatWithOptions, inspect } from "./inspect.js";
import { describeErrors } from "./inspect/entries.js";
import { write } from "./output.js";
import { frames, stackOf } from "./stack.js";
import { table } from "./table.js";

describeErrors((error) => frames(stackOf(error)).join("\n"));

const counts = new Map();
const started = new Map();
let indentation = "";

function print(channel, text) {
  write(channel, `${indentation}${indentation === "" ? text : text.replaceAll("\n", `\n${indentation}`)}\n`);
}

const printer = (channel) => (...given) => print(channel, format(...given));

function elapsed(label) {
  const milliseconds = performance.now() - started.get(label);
  return milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(3)}s` : `${milliseconds.toFixed(3)}ms`;
}

function timed(label, then) {
  if (!started.has(label)) return print(2, `Warning: No such label '${label}' for console.time()`);
  return then();
}

/** What a program finds as `console`. */
export const console = {
  log: printer(1),
  info: printer(1),
  debug: printer(1),
  warn: printer(2),
  error: printer(2),
  dir: (value, options) => print(1, inspect(value, { customInspect: false, ...options })),
  dirxml: printer(1),
  trace: (...given) => {
    const text = format(...given);
    print(2, [`Trace${text === "" ? "" : `: ${text}`}`, ...frames(stackOf(new Error()))].join("\n"));
  },
  assert: (holds, ...given) => {
    if (holds) return;
    if (typeof given[0] === "string") given[0] = `Assertion failed: ${given[0]}`;
    else given.unshift("Assertion failed");
    print(2, format(...given));
  },
  count: (label = "default") => {
    counts.set(`${label}`, (counts.get(`${label}`) ?? 0) + 1);
    print(1, `${label}: ${counts.get(`${label}`)}`);
  },
  countReset: (label = "default") => counts.delete(`${label}`),
  group: (...given) => {
    if (given.length > 0) print(1, format(...given));
    indentation += "  ";
  },
  groupEnd: () => {
    indentation = indentation.slice(2);
  },
  table: (value, columns) => {
    const text = table(value, columns, (item) => formatWithOptions({ depth: 1 }, inspect(item, { depth: 0 })));
    print(1, text ?? format(value));
  },
  time: (label = "default") => started.set(`${label}`, performance.now()) && undefined,
  timeLog: (label = "default", ...given) =>
    timed(`${label}`, () => print(1, [`${label}: ${elapsed(`${label}`)}`, ...given.map((item) => format(item))].join(" "))),
  timeEnd: (label = "default") =>
    timed(`${label}`, () => {
      print(1, `${label}: ${elapsed(`${label}`)}`);
      started.delete(`${label}`);
    }),
};
console.groupCollapsed = console.group;
