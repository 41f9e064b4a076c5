// Code of a session, made so that its names are global and its last expression is its value.

import { parse } from "acorn";

import { withoutTypes } from "./typescript.js";

const OPTIONS = {
  ecmaVersion: "latest",
  sourceType: "script",
  locations: true,
  allowAwaitOutsideFunction: true,
  allowImportExportEverywhere: true,
  allowHashBang: true,
};

/** What stands before code that waits. */
const WAITING = "(async () => {";

/**
 * The text to evaluate, names that must be declared before, and by how much line 1 is moved: if
 * it is, the last line is not the code's.
 */
export function prepare(given) {
  const { tree, code } = read(given);
  if (tree === undefined) return { names: [], text: code, moved: 0 };
  const change = new Change(tree.body.some(awaits));
  tree.body.forEach((node) => change.statement(node));
  const last = tree.body.at(-1);
  if (change.waits && last.type === "ExpressionStatement") {
    change.replace(last.expression.start, last.expression.start, "return (");
    change.replace(last.expression.end, last.expression.end, ")");
  }
  const text = change.apply(code);
  if (!change.waits) return { names: change.names, text, moved: 0 };
  return { names: change.names, text: `${WAITING}${text}\n})()`, moved: WAITING.length };
}

/** A call with type arguments, `f<T>(x)`, which JavaScript could read as two comparisons. */
const TYPED_CALL = /[\w$]<[^<>=;()"'`]*>\s*\(/;

/** The tree of code in JavaScript, or in TypeScript; without one the engine says what is wrong. */
function read(code) {
  if (TYPED_CALL.test(code)) {
    try {
      const plain = withoutTypes(code);
      return { tree: parse(plain, OPTIONS), code: plain };
    } catch {
      // It was JavaScript all the same.
    }
  }
  const wrong = [];
  // Whoever types an object means one, and not a block with labels.
  for (const text of code.trimStart().startsWith("{") ? [`(${code}\n)`, code] : [code]) {
    try {
      return { tree: parse(text, OPTIONS), code: text };
    } catch (error) {
      wrong.push(error);
    }
  }
  let plain;
  try {
    plain = withoutTypes(code);
  } catch (error) {
    // It is nearer to what was meant the further it got.
    if (!error.isFinal && !isAfter(error.loc, wrong.at(-1).loc)) return { code };
    const message = error.message.replace(/^Error transforming .*?: /, "").replace(/ \(\d+:\d+\)$/, "");
    throw new SyntaxError(`${message} at line ${error.loc.line}, column ${error.loc.column}`);
  }
  try {
    return { tree: parse(plain, OPTIONS), code: plain };
  } catch {
    return { code: plain };
  }
}

const isAfter = (a, b) =>
  a !== undefined && b !== undefined && (a.line > b.line || (a.line === b.line && a.column > b.column + 1));

/** Edits of code, and the names that it declares. */
class Change {
  edits = [];
  names = [];

  constructor(waits) {
    this.waits = waits;
  }

  replace(start, end, text) {
    this.edits.push({ start, end, text });
  }

  apply(code) {
    let text = "";
    let at = 0;
    for (const { start, end, text: inserted } of this.edits.sort((a, b) => a.start - b.start || a.end - b.end)) {
      text += code.slice(at, start) + inserted;
      at = end;
    }
    return text + code.slice(at);
  }

  statement(node) {
    switch (node.type) {
      case "ImportDeclaration":
        return this.replace(node.start, node.end, this.imported(node));
      case "ExportNamedDeclaration":
        // Names are there for all that comes later; nobody else could import them.
        if (node.declaration === null) return node.source ?? this.replace(node.start, node.end, "");
        this.replace(node.start, node.declaration.start, "");
        return this.statement(node.declaration);
      case "ExportDefaultDeclaration":
        // One without a name declares nothing.
        this.replace(node.start, node.declaration.start, isNameless(node.declaration) ? "void " : "");
        return node.declaration.id && this.statement(node.declaration);
      case "VariableDeclaration":
        if (this.waits) return this.assigned(node);
        return node.kind === "var" || this.replace(node.start, node.start + node.kind.length, "var".padEnd(node.kind.length));
      case "ClassDeclaration":
        if (this.waits) this.names.push(node.id.name);
        this.replace(node.start, node.start, this.waits ? `${node.id.name} = ` : `var ${node.id.name} = `);
        return this.replace(node.end, node.end, ";");
      case "FunctionDeclaration":
        if (!this.waits) return;
        this.names.push(node.id.name);
        return this.replace(node.end, node.end, `;globalThis.${node.id.name} = ${node.id.name};`);
      case "ExpressionStatement":
        // In strict code names would be its own.
        return node.directive === "use strict" && this.replace(node.start, node.end, "");
      default:
    }
  }

  /** A declaration as assignments to names that are declared outside. */
  assigned(node) {
    this.replace(node.start, node.start + node.kind.length, "void");
    for (const { id, init, start, end } of node.declarations) {
      bound(id, this.names);
      this.replace(start, start, "(");
      this.replace(end, end, init === null ? " = undefined)" : ")");
    }
  }

  /** An import as a call of `require`. */
  imported({ specifiers, source }) {
    const from = `require(${JSON.stringify(source.value)})`;
    const parts = specifiers.map(({ type, local, imported: name }) => {
      if (this.waits) this.names.push(local.name);
      const head = this.waits ? local.name : `var ${local.name}`;
      if (type === "ImportNamespaceSpecifier") return `${head} = ${from};`;
      if (type === "ImportDefaultSpecifier") return `${head} = ${from}.default ?? ${from};`;
      return `${head} = ${from}[${JSON.stringify(name.name ?? name.value)}];`;
    });
    return parts.join(" ") || `${from};`;
  }
}

const isNameless = ({ type, id }) => /Declaration$/.test(type) && id === null;

/** Whether code waits outside of functions. */
function awaits(node) {
  if (typeof node !== "object" || node === null) return false;
  if (Array.isArray(node)) return node.some(awaits);
  if (node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node.await)) return true;
  if (/Function/.test(node.type) || node.type === "ClassBody") return false;
  return Object.entries(node).some(([key, value]) => key !== "type" && key !== "loc" && awaits(value));
}

function bound(pattern, names) {
  switch (pattern?.type) {
    case "Identifier":
      names.push(pattern.name);
      break;
    case "ObjectPattern":
      for (const property of pattern.properties) bound(property.value ?? property.argument, names);
      break;
    case "ArrayPattern":
      for (const element of pattern.elements) bound(element, names);
      break;
    case "AssignmentPattern":
      bound(pattern.left, names);
      break;
    case "RestElement":
      bound(pattern.argument, names);
      break;
    default:
  }
}
