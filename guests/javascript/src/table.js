// `console.table`.

/** The table of rows; undefined if the value has none. */
export function table(value, columns, show) {
  if (typeof value !== "object" || value === null) return undefined;
  const isMap = value instanceof Map;
  const isSet = value instanceof Set;
  const rows = isMap || isSet ? [...value.entries()].map(([key, item], at) => [isMap ? key : at, item, at]) : Object.entries(value);
  const index = isMap || isSet ? "(iteration index)" : "(index)";
  const names = [];
  let hasValues = false;
  const lines = rows.map(([key, item]) => {
    const cells = new Map();
    if (typeof item === "object" && item !== null && !isMap) {
      for (const name of columns ?? Object.keys(item)) {
        if (!names.includes(name)) names.push(name);
        if (Object.hasOwn(item, name)) cells.set(name, show(item[name]));
      }
      return { key, cells };
    }
    hasValues = true;
    return { key, cells, value: show(item) };
  });
  const head = [index, ...names, ...(hasValues ? ["Values"] : [])];
  const body = lines.map(({ key, cells, value: own }, at) => [
    isMap ? `${at}` : `${key}`,
    ...names.map((name) => cells.get(name) ?? ""),
    ...(hasValues ? [own ?? ""] : []),
  ]);
  const widths = head.map((name, column) => Math.max(...[head, ...body].map((row) => row[column].length)) + 2);
  const line = (row) => `│${row.map((text, column) => centred(text, widths[column])).join("│")}│`;
  const rule = (left, middle, right) => left + widths.map((width) => "─".repeat(width)).join(middle) + right;
  return [rule("┌", "┬", "┐"), line(head), rule("├", "┼", "┤"), ...body.map(line), rule("└", "┴", "┘")].join("\n");
}

/** As Node 20 has it. */
function centred(text, width) {
  const room = width - text.length;
  const left = Math.floor(room / 2);
  return " ".repeat(left) + text + " ".repeat(room - left);
}
