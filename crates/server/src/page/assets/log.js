// Executions of the past, with their output: of all sandboxes, or of one.

import { element, keyed, notify, put } from "./dom.js";
import { poll } from "./poll.js";
import { call } from "./server.js";
import { clock, commandLine, shown, shownOutput, took } from "./text.js";

const EVERY = 4_000;
const PAGE = 50;
const FEW = 10;
/** From how many on nobody waits for new ones at the top. */
const MOST = 1_000;

export function showLog(stage, id = null) {
  const search = element("input", {
    type: "search",
    placeholder: "Search commands and output",
    "aria-label": "Search commands and output",
    maxlength: 300,
    on: { input: later },
  });
  const failed = element("input", { type: "checkbox", on: { change: again } });
  const count = element("p", { class: "muted", role: "status" });
  const list = element("div", { class: "log" });
  const empty = element("p", { class: "empty", hidden: true }, "No execution is found.");
  const older = element(
    "button",
    { type: "button", hidden: true, on: { click: back } },
    "Older ones",
  );
  const bar = element(
    "div",
    { class: "bar" },
    id === null ? element("h1", {}, "Log") : null,
    count,
    element("span", { class: "space" }),
    element("label", { class: "check" }, failed, "failed only"),
    search,
  );
  stage.append(
    bar,
    id === null ? "" : runner(),
    list,
    empty,
    element("div", { class: "row end" }, older),
  );

  let found = [];
  let hasMore = false;
  /** Counts searches: an answer to an earlier one is dropped. */
  let turn = 0;
  const leaving = new AbortController();

  function wanted(limit, before) {
    const asked = { limit };
    if (id !== null) asked.id = id;
    if (search.value) asked.contains = search.value;
    if (failed.checked) asked.failed = true;
    if (before !== null) asked.before = before;
    return asked;
  }

  async function ask(limit, before = null) {
    const asked = wanted(limit, before);
    return (await call("logs", asked, { signal: leaving.signal })).executions;
  }

  async function look() {
    const asked = turn;
    // Mostly there is nothing new, or little.
    let limit = found.length > 0 ? FEW : PAGE;
    let newest = await ask(limit);
    const reaches = () => newest.length < limit || found[0]?.number >= newest.at(-1).number;
    if (limit === FEW && !reaches()) {
      limit = PAGE;
      newest = await ask(limit);
    }
    if (asked !== turn) return;
    const oldest = newest.at(-1)?.number ?? 0;
    if (newest.length < limit) {
      hasMore = false;
      found = newest;
    } else if (reaches()) {
      found = [...newest, ...found.filter(({ number }) => number < oldest)].slice(0, MOST);
    } else {
      hasMore = true;
      found = newest;
    }
    draw();
  }

  async function back() {
    const asked = turn;
    const executions = await ask(PAGE, found.at(-1)?.number);
    if (asked !== turn) return;
    found.push(...executions);
    hasMore = executions.length === PAGE && found.length < MOST;
    draw();
  }

  let waiting = null;
  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(again, 250);
  }

  function again() {
    turn += 1;
    found = [];
    look().catch((error) => error.name === "AbortError" || notify(error.message, true));
  }

  function draw() {
    keyed(
      list,
      found,
      ({ number }) => number,
      make,
      () => {},
    );
    put(count, found.length === 0 ? "" : `${found.length}${hasMore ? " newest" : ""} executions`);
    empty.hidden = found.length > 0;
    older.hidden = !hasMore;
  }

  function make(one) {
    const ok = one.exit_code === 0 && !one.timed_out;
    const exit = one.lost ? "lost" : `exit ${one.exit_code}`;
    const result = one.timed_out ? "timed out" : exit;
    const place =
      id === null
        ? element("a", { class: "id", href: `#/sandbox/${one.id}` }, one.id.slice(0, 8))
        : null;
    const summary = element(
      "summary",
      {},
      element("time", { datetime: one.started_at }, clock(one.started_at)),
      element("code", { dir: "auto" }, commandLine(one.cmd)),
      element("span", { class: ok ? "result good" : "result bad" }, result),
      element("span", { class: "took" }, took(one.duration_ms)),
    );
    const details = element("details", { class: "execution" }, summary);
    // Output is made into elements when somebody looks at it.
    details.addEventListener(
      "toggle",
      () => details.children.length > 1 || details.append(body(one, place)),
      { once: true },
    );
    return details;
  }

  function body(one, place) {
    const outputs = [
      ["Output", one.stdout, one.stdout_truncated],
      ["Error output", one.stderr, one.stderr_truncated],
    ].filter(([, text]) => text !== "");
    const parts = outputs.flatMap(([name, text, isCut]) => [
      element("h3", {}, isCut ? `${name} (its beginning)` : name),
      element(
        "pre",
        { tabindex: 0, "aria-label": name, class: name === "Output" ? null : "error" },
        shownOutput(text),
      ),
    ]);
    const where = place === null ? [] : ["sandbox ", place, " · "];
    return element(
      "div",
      {},
      parts.length ? parts : element("p", { class: "muted" }, "It printed nothing."),
      element(
        "p",
        { class: "muted small" },
        where,
        `${one.kind} in ${shown(one.cwd)} · process ${one.process} · `,
        `request ${shown(one.request)} · number ${one.number}`,
      ),
    );
  }

  function runner() {
    const line = element("input", {
      name: "line",
      "aria-label": "Shell command to run",
      placeholder: "Run a shell command",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      required: true,
    });
    const submit = element("button", { type: "submit" }, "Run");
    const form = element(
      "form",
      { class: "runner" },
      element("span", { class: "prompt" }, "$"),
      line,
      submit,
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const code = line.value;
      submit.disabled = true;
      try {
        const asked = { id, code, language: "shell", timeout_ms: 60_000 };
        await call("runCode", asked, { time: 90_000, signal: leaving.signal });
        line.value = "";
        await look();
        const newest = list.firstElementChild;
        if (newest) newest.open = true;
      } catch (error) {
        if (error.name !== "AbortError") notify(error.message, true);
      } finally {
        submit.disabled = false;
        line.focus();
      }
    });
    return form;
  }

  const stop = poll(look, EVERY);
  return () => {
    leaving.abort();
    clearTimeout(waiting);
    stop();
  };
}
