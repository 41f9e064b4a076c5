// What every file of tests begins and ends with: a server, a browser, pages, and that nothing
// went wrong which nobody looked for.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { Browser, sleep } from "./browser.js";
import { Serve } from "./serve.js";

/** Puts up a server and a browser for the tests of a file; then `begin`, and `end` at last. */
export function stage(options = {}) {
  const on = {};
  before(async () => {
    on.serve = await Serve.start(options);
    on.browser = await Browser.start(options);
    await options.begin?.(on);
  });
  after(async () => {
    options.end?.();
    await on.browser?.close();
    await on.serve?.stop();
  });
  /** Opens a page, does something with it, and sees that nobody complained. */
  on.page = async (hash, work, look = {}) => {
    const page = await on.browser.open(look);
    try {
      await page.goto(`${on.serve.url}/${hash}`);
      await work(page);
      assert.deepEqual(
        page.problems.filter((problem) => !look.expected?.test(problem)),
        [],
      );
      assert.deepEqual(
        page.requests.filter((url) => !isOwn(on.serve.url, url)),
        [],
      );
    } finally {
      await page.close();
    }
  };
  return on;
}

function isOwn(server, url) {
  const { protocol, host } = new URL(url);
  return ["blob:", "data:"].includes(protocol) || host === new URL(server).host;
}

/** Waits until a terminal shows something. */
export function shows(page, text) {
  return page.until(
    (text) =>
      Array.from(document.querySelectorAll(".xterm-rows > div"), (row) =>
        row.textContent.replaceAll("\u00a0", " "),
      )
        .join("\n")
        .includes(text),
    [text],
    `"${text}" in the terminal`,
  );
}

/** The terminal of a sandbox, ready for input. */
export async function prompt(page) {
  await page.sees("connected");
  await shows(page, "$");
}

/** Waits until a download is complete: it has its name only then. */
export async function saved(folder, name) {
  for (let tries = 0; !existsSync(join(folder, name)); tries += 1) {
    assert.ok(tries < 400, `${name} was not saved`);
    await sleep(50);
  }
}
