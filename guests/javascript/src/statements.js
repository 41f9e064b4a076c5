// Code of a session, made so that its names are global and its last expression is its value.

import { parse } from "acorn";

const OPTIONS = {
  ecmaVersion: "latest",
  sourceType: "script",
  allowAwaitOutsideFunction: true,
  allowImportExportEverywhere: true,
  allowHashBang: true,
};

/** The text to evaluate, and names that must be declared before. */
export function prepare(code) {
  let tree;
  try {
    tree = parse(code, OPTIONS);
  } catch {
    // The engine says better what is wrong.
    return { names: [], text: code };
  }
  const edits = [];
  const replace = (start, end, text) => edits.push({ start, end, text });
  const names = [];
  const waits = tree.body.some(awaits);
  for (const node of tree.body) {
    if (node.type === "ImportDeclaration") replace(node.start, node.end, imported(node));
    else if (node.type === "VariableDeclaration") {
      if (waits) assigned(node, names, replace);
      else if (node.kind !== "var") replace(node.start, node.start + node.kind.length, "var".padEnd(node.kind.length));
    } else if (node.type === "ClassDeclaration") {
      if (waits) names.push(node.id.name);
      replace(node.start, node.start, waits ? `${node.id.name} = ` : `var ${node.id.name} = `);
      replace(node.end, node.end, ";");
    } else if (node.type === "FunctionDeclaration" && waits) {
      names.push(node.id.name);
      replace(node.end, node.end, `;globalThis.${node.id.name} = ${node.id.name};`);
    }
  }
  const last = tree.body.at(-1);
  if (waits && last.type === "ExpressionStatement") {
    replace(last.expression.start, last.expression.start, "return (");
    replace(last.expression.end, last.expression.end, ")");
  }
  const text = apply(code, edits);
  return { names, text: waits ? `(async () => {${text}\n})()` : text };
}

function apply(code, edits) {
  let text = "";
  let at = 0;
  for (const { start, end, text: inserted } of edits.sort((a, b) => a.start - b.start || a.end - b.end)) {
    text += code.slice(at, start) + inserted;
    at = end;
  }
  return text + code.slice(at);
}

/** Whether code waits outside of functions. */
function awaits(node) {
  if (typeof node !== "object" || node === null) return false;
  if (Array.isArray(node)) return node.some(awaits);
  if (node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node.await)) return true;
  if (/Function/.test(node.type) || node.type === "ClassBody") return false;
  return Object.entries(node).some(([key, value]) => key !== "type" && awaits(value));
}

/** A declaration as assignments to names that are declared outside. */
function assigned(node, names, replace) {
  replace(node.start, node.start + node.kind.length, "void");
  for (const { id, init, start, end } of node.declarations) {
    bound(id, names);
    replace(start, start, "(");
    replace(end, end, init === null ? " = undefined)" : ")");
  }
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

/** An import as a call of `require`. */
function imported({ specifiers, source }) {
  const from = `require(${JSON.stringify(source.value)})`;
  const parts = specifiers.map(({ type, local, imported: name }) => {
    if (type === "ImportNamespaceSpecifier") return `var ${local.name} = ${from};`;
    if (type === "ImportDefaultSpecifier") return `var ${local.name} = ${from}.default ?? ${from};`;
    return `var ${local.name} = ${from}[${JSON.stringify(name.name ?? name.value)}];`;
  });
  return parts.join(" ") || `${from};`;
}
