// The files of a sandbox: look, fetch, bring, make, rename, remove.

import { ask, field } from "./dialog.js";
import { button, element, notify, put, row, table } from "./dom.js";
import { act } from "./lifecycle.js";
import { call, download, upload } from "./server.js";
import { bytes, fileName, shown, shownOutput } from "./text.js";

const HOME = "/workspace";
const MOST = 1_000;
/** Bytes of a file that are shown in the page. */
const SHOWN = 256 << 10;

const COLUMNS = [
  "Name",
  { label: "Size", class: "number" },
  { label: "Actions", class: "actions" },
];
const LABELS = COLUMNS.map((column) => column.label ?? column);

function join(folder, name) {
  return folder === "/" ? `/${name}` : `${folder}/${name}`;
}

/** Where each sandbox was looked at last. */
const places = new Map();

export function showFiles(room, id, signal) {
  const crumbs = element("nav", { class: "crumbs", "aria-label": "Folders above" });
  const { node, body } = table("Files", COLUMNS);
  const empty = element("p", { class: "empty", hidden: true });
  const chooser = element("input", {
    type: "file",
    multiple: true,
    hidden: true,
    "aria-label": "Files to upload",
  });
  chooser.addEventListener("change", async () => {
    await bring([...chooser.files]);
    chooser.value = "";
  });
  room.append(
    element(
      "div",
      { class: "bar" },
      crumbs,
      element("span", { class: "space" }),
      button("Refresh", () => look()),
      button("New folder", makeFolder),
      button("Upload", () => chooser.click(), { class: "primary" }),
      chooser,
    ),
    element("div", { class: "sheet" }, node),
    empty,
  );
  room.addEventListener("dragover", (event) => event.preventDefault());
  room.addEventListener("drop", (event) => {
    event.preventDefault();
    bring([...event.dataTransfer.files]);
  });

  let folder = places.get(id) ?? HOME;

  async function look(wanted = folder) {
    await act(async () => {
      const { files } = await call("listDir", { id, path: wanted, limit: MOST }, { signal });
      folder = wanted;
      places.set(id, folder);
      draw(files);
    });
  }

  function draw(files) {
    const parts = folder.split("/").filter(Boolean);
    const links = parts.map((name, place) => {
      const path = `/${parts.slice(0, place + 1).join("/")}`;
      return element(
        "li",
        {},
        button(shown(name), () => look(path), { class: "quiet", dir: "auto" }),
      );
    });
    crumbs.replaceChildren(
      element(
        "ol",
        {},
        element(
          "li",
          {},
          button("/", () => look("/"), { class: "quiet" }),
        ),
        links,
      ),
    );
    files.sort((a, b) => Number(b.is_dir) - Number(a.is_dir) || (a.name < b.name ? -1 : 1));
    body.replaceChildren(...files.map(line));
    node.hidden = files.length === 0;
    empty.hidden = files.length > 0 && files.length < MOST;
    put(
      empty,
      files.length === 0
        ? "This folder is empty. Files can be dropped here."
        : `Only the first ${MOST} are shown.`,
    );
  }

  function line(file) {
    const path = join(folder, file.name);
    const name = shown(file.name);
    const open = file.is_dir ? () => look(path) : () => view(path, name);
    const label = file.is_dir ? `${name}/` : name;
    const buttons = [
      file.is_dir
        ? null
        : button("Download", () => fetchFile(path, file.name), {
            "aria-label": `Download ${name}`,
          }),
      button("Rename", () => rename(path, file.name), { "aria-label": `Rename ${name}` }),
      button("Delete", () => remove(path, file), { "aria-label": `Delete ${name}`, class: "warn" }),
    ];
    return row(LABELS, [
      button(label, open, { class: file.is_dir ? "file folder" : "file", dir: "auto" }),
      { node: file.is_dir ? "" : bytes(file.size), class: "number" },
      { node: element("div", { class: "row end" }, buttons), class: "actions" },
    ]);
  }

  async function view(path, name) {
    await act(async () => {
      const { size } = await call("stat", { id, path }, { signal });
      if (size > 4 * SHOWN)
        throw new Error(`${name} has ${bytes(size)}, which is too much to show; download it`);
      const { content } = await call("readFile", { id, path }, { signal });
      const raw = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
      const text = new TextDecoder().decode(raw.subarray(0, SHOWN));
      const rest = raw.length > SHOWN ? `\n… ${bytes(raw.length - SHOWN)} more` : "";
      const dialog = element(
        "dialog",
        { class: "wide", "aria-label": name },
        element("h2", { dir: "auto" }, name),
        element("pre", { tabindex: 0, "aria-label": "Content" }, shownOutput(text) + rest),
        element("form", { method: "dialog", class: "row end" }, element("button", {}, "Close")),
      );
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  async function fetchFile(path, name) {
    await act(async () => {
      const { address, done } = await download(id, path);
      const link = element("a", { href: address, download: fileName(name), hidden: true });
      document.body.append(link);
      link.click();
      link.remove();
      done();
    });
  }

  async function bring(files) {
    for (const file of files) {
      await act(() => upload(id, join(folder, file.name), file));
    }
    if (files.length > 0) {
      await look();
      notify(
        files.length === 1 ? `${shown(files[0].name)} is there` : `${files.length} files are there`,
      );
    }
  }

  function named(title, value, action, submit) {
    const control = element("input", {
      name: "name",
      value,
      required: true,
      autocomplete: "off",
      spellcheck: "false",
    });
    return ask({
      title,
      fields: [field("Name", control)],
      action,
      submit: (form) => submit(form.get("name")),
    });
  }

  async function makeFolder() {
    const make = (name) => call("mkdir", { id, path: join(folder, name) });
    if (await named("New folder", "", "Make", make)) look();
  }

  async function rename(path, name) {
    const move = (to) => call("move", { id, from: path, to: join(folder, to) });
    if (await named("Rename", name, "Rename", move)) look();
  }

  async function remove(path, file) {
    const done = await ask({
      title: "Delete?",
      fields: [
        element("p", { dir: "auto" }, shown(path)),
        file.is_dir ? element("p", {}, "It goes with all that is in it.") : null,
      ],
      action: "Delete",
      danger: true,
      submit: () => call("remove", { id, path, recursive: file.is_dir }),
    });
    if (done) look();
  }

  look();
  return {};
}
