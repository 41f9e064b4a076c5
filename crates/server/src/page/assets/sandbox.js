// One sandbox: its head, and the part of it that is looked at.

import { element, put } from "./dom.js";
import { showFiles } from "./files.js";
import { actions, state } from "./lifecycle.js";
import { showLog } from "./log.js";
import { showOverview } from "./overview.js";
import { poll } from "./poll.js";
import { call, stream } from "./server.js";
import { showTerminal } from "./terminal.js";
import { clock, duration, shown } from "./text.js";

const EVERY = 4_000;
const PARTS = [
  ["overview", "Overview"],
  ["terminal", "Terminal"],
  ["files", "Files"],
  ["log", "Log"],
];

export function showSandbox(stage, id, wanted) {
  const [part, argument = null] = wanted.split("?");
  const chosen = PARTS.some(([name]) => name === part) ? part : "overview";
  const head = state();
  const facts = element("p", { class: "muted facts" });
  const buttons = element("div", { class: "row" });
  const parts = element(
    "nav",
    { class: "parts", "aria-label": "Parts of the sandbox" },
    PARTS.map(([name, label]) =>
      element(
        "a",
        { href: `#/sandbox/${id}/${name}`, "aria-current": name === chosen ? "page" : null },
        label,
      ),
    ),
  );
  const room = element("div", { class: `part ${chosen}` });
  stage.append(
    element(
      "div",
      { class: "bar" },
      element("h1", { class: "id", title: id }, id.slice(0, 12)),
      head,
      facts,
      element("span", { class: "space" }),
      buttons,
    ),
    parts,
    room,
  );

  const leaving = new AbortController();
  const { signal } = leaving;
  let told = null;
  let isGone = false;

  function tell(one) {
    told = one;
    if (one === undefined) {
      gone();
      return;
    }
    state(one.state, head);
    const now = Date.now();
    const rest = duration(Date.parse(one.expires_at) - now);
    put(
      facts,
      `${shown(one.template)} · ${duration(now - Date.parse(one.created_at))} old · expires in ${rest}`,
    );
    facts.title = `made ${clock(one.created_at)}, expires ${clock(one.expires_at)}`;
    actions(buttons, one, tell);
    view.tell?.(one);
  }

  /** It has ended: what the log says of it is all that is left. */
  function gone() {
    isGone = true;
    state("gone", head);
    put(facts, "");
    buttons.replaceChildren();
    if (chosen === "overview") {
      room.replaceChildren(
        element("p", { class: "empty" }, "This sandbox has ended. Its executions are in the log."),
      );
    }
  }

  async function look() {
    if (isGone) return;
    try {
      tell(await call("get", { id }, { signal }));
    } catch (error) {
      if (error.type !== "NOT_FOUND") throw error;
      gone();
    }
  }

  /** Changes of state show at once, without being asked for. */
  async function watch() {
    if (isGone || signal.aborted) return;
    const watching = new AbortController();
    const stop = () => watching.abort();
    const hidden = () => document.visibilityState === "hidden" && stop();
    document.addEventListener("visibilitychange", hidden);
    signal.addEventListener("abort", stop);
    try {
      for await (const event of stream("watch", { id }, watching.signal)) {
        if (event.state === "gone") gone();
        else if (told && event.state !== told.state) tell({ ...told, state: event.state });
      }
    } catch {
      // Asking every few seconds goes on, and tells what is wrong.
    } finally {
      document.removeEventListener("visibilitychange", hidden);
      signal.removeEventListener("abort", stop);
    }
  }

  const views = {
    overview: () => showOverview(room, id, signal),
    terminal: () => showTerminal(room, id, argument),
    files: () => showFiles(room, id, signal),
    log: () => showLog(room, id),
  };
  const view = views[chosen]() ?? {};
  const stops = [poll(look, EVERY)];
  const again = () => document.visibilityState === "visible" && watch();
  document.addEventListener("visibilitychange", again);
  watch();
  return () => {
    leaving.abort();
    document.removeEventListener("visibilitychange", again);
    for (const stop of stops) stop();
    if (typeof view === "function") view();
    else view.close?.();
  };
}
