// How the parts of an inspected object stand on lines.

/** Joins them: on one line if it is short and not too deep, else on one each. */
export function layOut(context, output, { base, prefix, open, close, isList }, level, value) {
  const start = `${base === "" ? "" : `${base} `}${prefix}${open}`;
  if (context.compact === true) return `${start} ${output.join(", ")} ${close}`;
  let lines = output;
  if (context.compact >= 1 || context.compact === undefined) {
    if (isList && output.length > 6) lines = columns(context, output, value);
    const isShallow = context.deepest - level < context.compact;
    if (isShallow && lines.length === output.length && fits(context, output, prefix + open, base)) {
      const joined = output.join(", ");
      if (!joined.includes("\n")) return `${start} ${joined} ${close}`;
    }
  }
  const indentation = `\n${" ".repeat(context.indentation)}`;
  return `${start}${indentation}  ${lines.join(`,${indentation}  `)}${indentation}${close}`;
}

function fits(context, output, open, base) {
  // Separators, and room for what stands before.
  let length = output.length + output.length + context.indentation + open.length + base.length + 10;
  if (length + output.length > context.breakLength) return false;
  for (const text of output) length += text.length;
  return length <= context.breakLength && !base.includes("\n");
}

/** Short items of a long list share lines, in columns. */
function columns(context, output, value) {
  const isCut = output.at(-1)?.startsWith("... ") && value.length > context.maxArrayLength;
  const count = isCut ? output.length - 1 : output.length;
  const lengths = output.slice(0, count).map((text) => text.length + 2);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const widest = Math.max(...lengths);
  if (widest * 3 + context.indentation >= context.breakLength) return output;
  if (!(total / widest > 5 || widest - 2 <= 6)) return output;
  const bias = Math.sqrt(widest - total / output.length);
  const ideal = Math.max(widest - 2 - bias, 1);
  const number = Math.min(
    Math.round(Math.sqrt(2.5 * ideal * count) / ideal),
    Math.floor((context.breakLength - context.indentation) / widest),
    context.compact * 4,
    15,
  );
  if (number <= 1) return output;
  const widths = Array.from({ length: number }, (_, column) => {
    let width = 0;
    for (let at = column; at < count; at += number) width = Math.max(width, lengths[at]);
    return width;
  });
  const isNumeric = Array.from(value).every((item) => typeof item === "number" || typeof item === "bigint");
  const lines = [];
  for (let at = 0; at < count; at += number) {
    const end = Math.min(at + number, count);
    let line = "";
    for (let index = at; index < end - 1; index++) {
      const cell = `${output[index]}, `;
      line += isNumeric ? cell.padStart(widths[index - at]) : cell.padEnd(widths[index - at]);
    }
    const last = output[end - 1];
    line += isNumeric ? last.padStart(widths[end - 1 - at] - 2) : last;
    lines.push(line);
  }
  if (isCut) lines.push(output.at(-1));
  return lines;
}
