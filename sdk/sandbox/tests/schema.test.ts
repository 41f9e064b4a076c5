/**
 * The package speaks of all that the server does: its methods, their parameters, the fields of
 * the answers, the kinds of errors. The schema is held to the server by CI.
 */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as errors from "../src/errors.js";
import * as exported from "../src/index.js";
import { schema } from "./serving.js";

const source = ["client", "sandbox", "process", "events"]
  .map((name) => readFileSync(new URL(`../src/${name}.ts`, import.meta.url), "utf8"))
  .join("\n");
const types = readFileSync(new URL("../src/types.ts", import.meta.url), "utf8");
const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** Done over `PUT` and `GET`, which take any size. */
const OVER_HTTP = new Set(["sandbox.v1.readFile", "sandbox.v1.writeFile"]);

test("every method of the server is there", () => {
  const missing = schema.methods
    .map(({ name }) => name)
    .filter((name) => {
      const [, , short] = name.split(".");
      return (
        !OVER_HTTP.has(name) &&
        !source.includes(`"${name}"`) &&
        !source.includes(`#call("${short}"`)
      );
    });
  expect(missing).toEqual([]);
});

/** The fields of an interface, with those that it extends. */
function fieldsOf(name: string): string[] {
  const found = new RegExp(
    `export interface ${name}(?: extends (?:Omit<)?(\\w+))?[^{]* \\{\\n(.*?)\\n\\}`,
    "s",
  ).exec(types);
  if (found === null) return [];
  const own = [...(found[2] ?? "").matchAll(/^ {2}(\w+)\??:/gm)].map((match) => match[1] ?? "");
  return [...own, ...(found[1] === undefined ? [] : fieldsOf(found[1]))];
}

for (const [name, { properties = {} }] of Object.entries(schema.components.schemas)) {
  const known = fieldsOf(name);
  if (known.length === 0) continue;
  test(`${name} has all its fields`, () => {
    const missing = Object.keys(properties)
      .map(camel)
      .filter((field) => !known.includes(field));
    // As bytes it is `stdin`, too.
    expect(missing.filter((field) => field !== "stdinBase64")).toEqual([]);
  });
}

test("every parameter has a name here", () => {
  const missing = schema.methods.flatMap(({ name, params }) =>
    params
      .map((parameter) => `${name} ${camel(parameter.name)}`)
      .filter((told) => {
        const field = told.split(" ")[1] ?? "";
        return !new RegExp(`\\b${field}\\b`).test(source + types);
      }),
  );
  expect(missing.filter((told) => !told.endsWith(" stdinBase64"))).toEqual([]);
});

test("every kind of error has a class", () => {
  for (const [type, { code }] of Object.entries(schema.components.errors)) {
    const data = { type, retryable: true, details: { error_code: "E1", hint: "h" } };
    const told = errors.refusalOf({ code, message: "m", data }) as errors.RequestRefused;
    expect(told.constructor).not.toBe(errors.RequestRefused);
    expect(told).toBeInstanceOf(errors.RequestRefused);
    expect(Object.keys(exported)).toContain(told.name);
    expect([told.code, told.hint, told.type, told.rpcCode, told.retryable]).toEqual([
      "E1",
      "h",
      type,
      code,
      true,
    ]);
  }
  expect(errors.refusalOf({ code: -1, message: "x" }).constructor).toBe(errors.RequestRefused);
});
