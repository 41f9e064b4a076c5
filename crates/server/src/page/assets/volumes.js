// Volumes: files that outlive sandboxes.

import { ask, field } from "./dialog.js";
import { button, element, keyed, put, row, table } from "./dom.js";
import { poll } from "./poll.js";
import { call } from "./server.js";
import { bytes, clock, shown } from "./text.js";

const EVERY = 10_000;
const MIB = 1 << 20;

const COLUMNS = [
  "Volume",
  { label: "Used", class: "number" },
  { label: "Size", class: "number" },
  "Made",
  { label: "Actions", class: "actions" },
];
const LABELS = COLUMNS.map((column) => column.label ?? column);

function make() {
  const name = element("input", {
    name: "name",
    required: true,
    pattern: "[A-Za-z0-9._\\-]{1,64}",
    autocomplete: "off",
    spellcheck: "false",
  });
  const size = element("input", {
    name: "size",
    type: "number",
    min: 16,
    max: MIB,
    value: 256,
    required: true,
  });
  return ask({
    title: "New volume",
    fields: [
      field("Name", name, "Letters, digits, -, _ and ., up to 64."),
      field("Size in MiB", size, "What its file system needs is part of it: some 2 %."),
    ],
    action: "Make",
    submit: (form) =>
      call(
        "volume.v1.create",
        { name: form.get("name"), size_bytes: Number(form.get("size")) * MIB },
        { time: 60_000 },
      ),
  });
}

function remove(name) {
  return ask({
    title: `Delete ${shown(name)}?`,
    fields: [element("p", {}, "All files in it are gone. There is no way back.")],
    action: "Delete",
    danger: true,
    submit: () => call("volume.v1.delete", { name }, { time: 60_000 }),
  });
}

export function showVolumes(stage) {
  const count = element("p", { class: "muted", role: "status" });
  const { node, body } = table("Volumes", COLUMNS);
  const empty = element(
    "div",
    { class: "empty", hidden: true },
    element("p", {}, "There is no volume. A sandbox has one where create says so, in volumes."),
  );
  const create = async () => (await make()) && look();
  stage.append(
    element(
      "div",
      { class: "bar" },
      element("h1", {}, "Volumes"),
      count,
      element("span", { class: "space" }),
      button("New volume", create, { class: "primary" }),
    ),
    element("div", { class: "sheet" }, node),
    empty,
  );
  const leaving = new AbortController();

  async function look() {
    const { volumes } = await call("volume.v1.list", {}, { signal: leaving.signal });
    keyed(body, volumes, ({ name }) => name, line, update);
    const all = volumes.reduce((sum, one) => sum + one.used_bytes, 0);
    put(count, volumes.length === 0 ? "" : `${volumes.length}, ${bytes(all)} used`);
    empty.hidden = volumes.length > 0;
    node.hidden = volumes.length === 0;
  }

  function line({ name }) {
    const gone = async () => (await remove(name)) && look();
    const cells = [
      { node: shown(name), dir: "auto" },
      { class: "number" },
      { class: "number" },
      "",
      {
        class: "actions",
        node: button("Delete", gone, { "aria-label": `Delete ${shown(name)}`, class: "warn" }),
      },
    ];
    return row(LABELS, cells);
  }

  function update(line, one) {
    const [, used, size, made] = line.children;
    put(used, bytes(one.used_bytes));
    put(size, bytes(one.size_bytes));
    put(made, clock(one.created_at));
  }

  const stop = poll(look, EVERY);
  return () => {
    leaving.abort();
    stop();
  };
}
