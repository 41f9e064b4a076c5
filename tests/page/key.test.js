// A server that wants a key: it is asked for, kept in the tab, and goes along everywhere.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { prompt, saved, shows, stage } from "./stage.js";

const on = stage({ key: true });
// Without a key the browser itself notes each refusal.
const REFUSED = { expected: /401/ };

async function enter(page, key) {
  await page.until(() => document.querySelector("dialog[open] input[type=password]"));
  await page.click("dialog input");
  await page.type(`${key}\n`);
}

test("without a key there is a page and nothing else", async () => {
  await on.page(
    "",
    async (page) => {
      await page.sees("This server wants an API key");
      const told = await page.evaluate(async () => [
        (await fetch("/doctor")).status,
        (await fetch("/metrics")).status,
      ]);
      assert.deepEqual(told, [401, 401]);
      // Who does not want to give one is left alone, and can change their mind.
      await page.press("Escape", 27);
      await page.until(() => document.querySelector("#key")?.textContent === "Enter key");
      const asked = page.requests.length;
      await page.untilRequested(asked + 1);
      assert.equal(await page.evaluate(() => document.querySelector("dialog")), null);
      await page.click("#key", "Enter key");
      await page.sees("This server wants an API key");
    },
    REFUSED,
  );
});

test("a wrong key is told, the right one lets in, and it can be forgotten", async () => {
  const id = await on.serve.create({ labels: { of: "this-key" } });
  await on.serve.call("writeFile", {
    id,
    path: "kept.txt",
    content: Buffer.from("kept").toString("base64"),
  });
  await on.page(
    "",
    async (page) => {
      await enter(page, "cap_wrong");
      await page.sees("is not known there");
      await enter(page, on.serve.key);
      await page.sees("of=this-key");
      const places = await page.evaluate((key) => {
        const holds = (store) => Object.values({ ...store }).some((value) => value.includes(key));
        return [
          holds(sessionStorage),
          holds(localStorage),
          document.cookie,
          document.documentElement.outerHTML.includes(key),
        ];
      }, on.serve.key);
      assert.deepEqual(places, [true, false, "", false]);
      // It goes along with a reload, a terminal, the doctor and files.
      await page.goto(`${on.serve.url}/#/sandbox/${id}/terminal`);
      await prompt(page);
      await page.type("echo let-$((1 + 1))-in\n");
      await shows(page, "let-2-in");
      await page.click("header a", "Doctor");
      await page.sees("seccomp");
      await page.goto(`${on.serve.url}/#/sandbox/${id}/files`);
      await page.click("button.file", "kept.txt");
      await page.until(() => document.querySelector("dialog[open] pre")?.textContent === "kept");
      await page.click("dialog button", "Close");
      const folder = mkdtempSync(join(tmpdir(), "capsule-files-"));
      await page.downloads(folder);
      await page.click("td.actions button", "Download");
      await saved(folder, "kept.txt");
      assert.equal(readFileSync(join(folder, "kept.txt"), "utf8"), "kept");
      rmSync(folder, { recursive: true });
      assert.deepEqual(
        page.requests.filter((url) => url.includes(on.serve.key)),
        [],
        "never in an address",
      );
      await page.click("#key");
      await page.sees("This server wants an API key");
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    },
    REFUSED,
  );
});
