// `node:assert`.

import { inspect } from "../inspect.js";
import { isDeepEqual } from "./equal.js";

/** What a failed assertion throws. */
export class AssertionError extends Error {
  constructor({ message, actual, expected, operator, generated }) {
    super(message);
    this.name = "AssertionError";
    this.generatedMessage = generated ?? false;
    this.code = "ERR_ASSERTION";
    Object.assign(this, { actual, expected, operator });
  }
}

function fail(message, actual, expected, operator, said) {
  if (message instanceof Error) throw message;
  throw new AssertionError({ message: message ?? said, actual, expected, operator, generated: message === undefined });
}

const shown = (value) => inspect(value, { depth: 1000, sorted: true });
const differ = (words, actual, expected) => `${words}\n\n${shown(actual)}\n\nshould equal\n\n${shown(expected)}`;

function assert(...given) {
  const [value, message] = given;
  if (value) return;
  const said = given.length === 0 ? "No value argument passed to `assert.ok()`" : `The expression evaluated to a falsy value:\n\n  ${shown(value)}\n`;
  fail(message, value, true, "==", said);
}

const compare = (operator, holds, words) => (actual, expected, message) => {
  if (!holds(actual, expected)) fail(message, actual, expected, operator, words(actual, expected));
};

/** Whether an error is the one that was expected. */
function matches(error, expected, message) {
  if (expected === undefined) return;
  if (typeof expected === "function") {
    if (expected.prototype !== undefined && error instanceof expected) return;
    if (Error.isPrototypeOf(expected) || expected === Error) throw error;
    if (expected.call({}, error) === true) return;
    fail(message, error, expected, "throws", "The validation function is expected to return \"true\"");
  }
  if (expected instanceof RegExp) {
    if (expected.test(String(error))) return;
    fail(message, error, expected, "throws", `The input did not match the regular expression ${expected}. Input:\n\n${shown(String(error))}\n`);
  }
  for (const key of [...Object.keys(expected), ...(expected instanceof Error ? ["name", "message"] : [])]) {
    const isMatch = expected[key] instanceof RegExp && typeof error[key] === "string"
      ? expected[key].test(error[key])
      : isDeepEqual(error[key], expected[key], true);
    if (!isMatch) fail(message, error, expected, "throws", differ("Expected values to be strictly deep-equal:", error[key], expected[key]));
  }
}

/** (work, expected?, message?) */
const sorted = (expected, message) => (typeof expected === "string" ? [undefined, expected] : [expected, message]);

function throws(work, given, last) {
  const [expected, message] = sorted(given, last);
  let error;
  try {
    work();
  } catch (thrown) {
    error = { thrown };
  }
  if (error === undefined) fail(message, undefined, expected, "throws", "Missing expected exception.");
  matches(error.thrown, expected, message);
}

function doesNotThrow(work, given, last) {
  const [, message] = sorted(given, last);
  try {
    work();
  } catch (error) {
    fail(message, error, undefined, "doesNotThrow", `Got unwanted exception.\nActual message: "${error?.message}"`);
  }
}

async function rejects(work, given, last) {
  const [expected, message] = sorted(given, last);
  let error;
  try {
    await (typeof work === "function" ? work() : work);
  } catch (thrown) {
    error = { thrown };
  }
  if (error === undefined) fail(message, undefined, expected, "rejects", "Missing expected rejection.");
  matches(error.thrown, expected, message);
}

async function doesNotReject(work, given, last) {
  const [, message] = sorted(given, last);
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    fail(message, error, undefined, "doesNotReject", `Got unwanted rejection.\nActual message: "${error?.message}"`);
  }
}

const strictly = (actual, expected) => Object.is(actual, expected);
const loosely = (actual, expected) => actual == expected || (Number.isNaN(actual) && Number.isNaN(expected));
const deep = (strict) => (actual, expected) => isDeepEqual(actual, expected, strict);
const not = (holds) => (actual, expected) => !holds(actual, expected);

const members = {
  AssertionError,
  ok: assert,
  equal: compare("==", loosely, (a, b) => `${shown(a)} == ${shown(b)}`),
  notEqual: compare("!=", not(loosely), (a, b) => `${shown(a)} != ${shown(b)}`),
  strictEqual: compare("strictEqual", strictly, (a, b) => `Expected values to be strictly equal:\n\n${shown(a)} !== ${shown(b)}\n`),
  notStrictEqual: compare("notStrictEqual", not(strictly), (a) => `Expected "actual" to be strictly unequal to: ${shown(a)}`),
  deepEqual: compare("deepEqual", deep(false), (a, b) => differ("Expected values to be loosely deep-equal:", a, b)),
  notDeepEqual: compare("notDeepEqual", not(deep(false)), (a) => `Expected "actual" not to be loosely deep-equal to:\n\n${shown(a)}`),
  deepStrictEqual: compare("deepStrictEqual", deep(true), (a, b) => differ("Expected values to be strictly deep-equal:", a, b)),
  notDeepStrictEqual: compare("notDeepStrictEqual", not(deep(true)), (a) => `Expected "actual" not to be strictly deep-equal to:\n\n${shown(a)}`),
  match: compare("match", (a, b) => b.test(a), (a, b) => `The input did not match the regular expression ${b}. Input:\n\n${shown(a)}\n`),
  doesNotMatch: compare("doesNotMatch", (a, b) => !b.test(a), (a, b) => `The input was expected to not match the regular expression ${b}. Input:\n\n${shown(a)}\n`),
  throws, doesNotThrow, rejects, doesNotReject,
  fail: (message) => fail(message, undefined, undefined, "fail", "Failed"),
  ifError(value) {
    if (value !== null && value !== undefined) throw value;
  },
};

/** The same with `==` replaced by `===` everywhere. */
const strict = Object.assign((...given) => assert(...given), members, {
  equal: members.strictEqual,
  notEqual: members.notStrictEqual,
  deepEqual: members.deepStrictEqual,
  notDeepEqual: members.notDeepStrictEqual,
});
strict.strict = strict;

export default Object.assign(assert, members, { strict });
