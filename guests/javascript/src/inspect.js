// Values as text for people, as Node's util.inspect writes them.

import { entriesOf } from "./inspect/entries.js";
import { layOut } from "./inspect/layout.js";
import { primitive, propertyName, typeName } from "./inspect/names.js";

/** With which an object says how it looks. */
export const custom = Symbol.for("nodejs.util.inspect.custom");

const DEFAULTS = {
  showHidden: false,
  depth: 2,
  colors: false,
  customInspect: true,
  maxArrayLength: 100,
  maxStringLength: 10000,
  breakLength: 80,
  compact: 3,
  sorted: false,
  getters: false,
};

/** Text of any value. `options` are Node's, but for colours. */
export function inspect(value, options, ...old) {
  const given = typeof options === "object" && options !== null ? options : {};
  // inspect(value, showHidden, depth), as it once was.
  if (typeof options === "boolean") given.showHidden = options;
  if (old.length > 0) given.depth = old[0];
  const limit = (number) => (number === null || number === undefined ? Infinity : number);
  const context = { ...DEFAULTS, ...given, seen: [], circular: new Map(), indentation: 0, deepest: 0 };
  for (const key of ["depth", "maxArrayLength", "maxStringLength"]) context[key] = limit(context[key]);
  return write(context, value, 0);
}

inspect.custom = custom;
inspect.defaultOptions = DEFAULTS;

function write(context, value, level, isKey = false) {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) {
    return primitive(context, value, isKey);
  }
  const said = own(context, value, level);
  if (said !== undefined) return said;
  if (context.seen.includes(value)) {
    const { circular } = context;
    if (!circular.has(value)) circular.set(value, circular.size + 1);
    return `[Circular *${circular.get(value)}]`;
  }
  return object(context, value, level);
}

/** What an object's own method says of it. */
function own(context, value, level) {
  if (!context.customInspect) return undefined;
  let method;
  try {
    method = value[custom];
  } catch {
    return undefined;
  }
  if (typeof method !== "function" || method === inspect) return undefined;
  const { seen: _seen, circular: _circular, indentation, deepest: _deepest, ...options } = context;
  const said = method.call(value, context.depth - level, { ...options, depth: context.depth - level }, inspect);
  if (said === value) return undefined;
  if (typeof said === "object" && said !== null) return write(context, said, level);
  return String(said).replaceAll("\n", `\n${" ".repeat(indentation)}`);
}

function object(context, value, level) {
  const name = typeName(value);
  const described = entriesOf(context, value, name);
  // An empty one, or a function, a date and the like without a property: one word.
  if (described.isWhole) return described.base;
  if (level > context.depth) {
    return `[${Array.isArray(value) ? "Array" : name || "Object: null prototype"}]`;
  }
  context.seen.push(value);
  context.deepest = level;
  const output = [];
  for (const entry of described.entries(
    (item, isKey) => within(context, () => write(context, item, level + 1, isKey)),
    described.isList ? undefined : (key, item) => pair(context, key, item, level),
  )) {
    output.push(entry);
  }
  for (const key of described.keys) output.push(property(context, value, key, level));
  context.seen.pop();
  if (context.sorted) output.sort(context.sorted === true ? undefined : context.sorted);
  let { prefix } = described;
  if (context.circular.has(value)) {
    const mark = `<ref *${context.circular.get(value)}>`;
    if (described.base === "") prefix = `${mark} ${prefix}`;
    else described.base = `${mark} ${described.base}`;
  }
  return layOut(context, output, { ...described, prefix }, level, value);
}

/** Runs `work` two columns further to the right. */
function within(context, work, columns = 2) {
  context.indentation += columns;
  try {
    return work();
  } finally {
    context.indentation -= columns;
  }
}

const pair = (context, key, item, level) =>
  `${within(context, () => write(context, key, level + 1))} => ${within(context, () => write(context, item, level + 1))}`;

function property(context, holder, key, level) {
  let found;
  try {
    found = Object.getOwnPropertyDescriptor(holder, key);
  } catch (error) {
    return `${propertyName(key)}: <Inspection threw (${error})>`;
  }
  found ??= { value: holder[key], enumerable: true };
  let text;
  if ("value" in found) {
    text = within(context, () => write(context, found.value, level + 1));
  } else if (found.get !== undefined) {
    text = found.set === undefined ? "[Getter]" : "[Getter/Setter]";
  } else {
    text = found.set === undefined ? "undefined" : "[Setter]";
  }
  const name = propertyName(key);
  return `${found.enumerable ? name : `[${String(key.description ?? key)}]`}: ${text}`;
}

/** `%s` and the like in a first text, then the rest. */
export function format(...given) {
  return formatWithOptions({}, ...given);
}

/** As format(), for values with options of inspect(). */
export function formatWithOptions(options, ...given) {
  const [first, ...rest] = given;
  const shown = (value) => (typeof value === "string" ? value : inspect(value, options));
  if (typeof first !== "string") return given.map(shown).join(" ");
  if (rest.length === 0) return first;
  const text = first.replace(/%[sdifjoOc%]/g, (word) => {
    if (word === "%%") return "%";
    if (rest.length === 0) return word;
    return directive(word, rest.shift(), options);
  });
  return [text, ...rest.map(shown)].join(" ");
}

function directive(word, value, options) {
  switch (word) {
    case "%s":
      return plain(value, options);
    case "%d":
      if (typeof value === "bigint") return `${value}n`;
      return typeof value === "symbol" || typeof value === "object" ? "NaN" : shownNumber(Number(value));
    case "%i":
      if (typeof value === "bigint") return `${value}n`;
      return typeof value === "symbol" || typeof value === "object" ? "NaN" : shownNumber(Number.parseInt(value, 10));
    case "%f":
      return typeof value === "symbol" ? "NaN" : shownNumber(Number.parseFloat(value));
    case "%j":
      try {
        return JSON.stringify(value);
      } catch {
        return "[Circular]";
      }
    case "%o":
      return inspect(value, { ...options, showHidden: true, depth: 4 });
    case "%O":
      return inspect(value, options);
    default:
      return "";
  }
}

const shownNumber = (number) => (Object.is(number, -0) ? "-0" : `${number}`);

function plain(value, options) {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return shownNumber(value);
  if (typeof value !== "object" || value === null) {
    return String(value);
  }
  const speaks = typeof value.toString === "function" &&
    value.toString !== Object.prototype.toString && value.toString !== Error.prototype.toString &&
    !Array.isArray(value);
  return speaks ? String(value) : inspect(value, { ...options, depth: 0, compact: 3 });
}
