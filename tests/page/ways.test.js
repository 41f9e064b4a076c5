// Every way to look at the page: by keyboard, by ear, on a phone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { prompt, stage } from "./stage.js";

const on = stage();

let volumes = 1;

async function everything() {
  const id = await on.serve.create({
    labels: { "a-rather-long-label": "with-a-rather-long-value-that-goes-on" },
  });
  await on.serve.call("runCode", {
    id,
    language: "shell",
    code: "echo hello; : a-command-that-is-long-enough-to-be-cut-on-every-screen",
  });
  await on.serve.call("volume.v1.create", { name: `data-${volumes++}`, size_bytes: 16 << 20 });
  await on.serve.call("start", { id, cmd: ["sleep", "600"], terminal: { columns: 80, rows: 24 } });
  await on.serve.call("writeFile", { id, path: `a-${"long-".repeat(20)}name.txt`, content: "" });
  return [
    ["", "a-rather-long"],
    [`#/sandbox/${id}`, "sleep 600"],
    [`#/sandbox/${id}/terminal`, "connected"],
    [`#/sandbox/${id}/files`, "name.txt"],
    [`#/sandbox/${id}/log`, "echo hello"],
    ["#/log", "echo hello"],
    ["#/templates", "Memory"],
    ["#/volumes", "data-1"],
    ["#/doctor", "seccomp"],
  ];
}

test("on a phone nothing is wider than the screen", async () => {
  for (const [hash, text] of await everything()) {
    await on.page(
      hash,
      async (page) => {
        await page.sees(text);
        const [wide, seen] = await page.evaluate(() => [
          document.documentElement.scrollWidth,
          document.documentElement.clientWidth,
        ]);
        assert.ok(wide <= seen && seen <= 360, `${hash}: ${wide} in ${seen}`);
        // Fingers find what can be pressed.
        const low = await page.evaluate(() =>
          Array.from(
            document.querySelectorAll("main button:not([hidden]), header button:not([hidden])"),
          )
            .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 34)
            .map((one) => one.textContent),
        );
        assert.deepEqual(low, [], hash);
      },
      { width: 360, height: 740, phone: true },
    );
  }
});

test("all that can be used has a name", async () => {
  const roles = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "checkbox",
    "img",
    "figure",
    "table",
    "spinbutton",
    "DisclosureTriangle",
  ];
  for (const [hash, text] of await everything()) {
    await on.page(hash, async (page) => {
      await page.sees(text);
      if (hash === "") await page.click("button", "New sandbox");
      const { nodes } = await page.send("Accessibility.getFullAXTree", {});
      const nameless = nodes
        .filter((node) => !node.ignored && roles.includes(node.role?.value) && !node.name?.value)
        .map((node) => node.role.value);
      assert.deepEqual(
        nameless.filter((role) => role !== "figure"),
        [],
        hash,
      );
      assert.ok(nodes.some((node) => node.role?.value === "main"));
    });
  }
});

test("a sandbox is made, and left again, by keyboard alone", async () => {
  await on.page("", async (page) => {
    const tab = () => page.press("Tab", 9);
    const enter = () => page.press("Enter", 13, "\r");
    const to = async (text) => {
      for (let steps = 0; steps < 60; steps += 1) {
        await tab();
        if ((await page.evaluate(() => document.activeElement.textContent.trim())) === text) return;
      }
      assert.fail(`${text} is not reached`);
    };
    await page.sees("Sandboxes");
    await tab();
    assert.equal(
      await page.evaluate(() => document.activeElement.textContent),
      "Skip to the content",
    );
    await to("New sandbox");
    await enter();
    await page.until(() => document.querySelector("dialog[open]"));
    await page.press("Escape", 27);
    await page.until(() => document.querySelector("dialog") === null);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "New sandbox");
    await enter();
    await page.until(() => document.querySelector("dialog[open]"));
    await to("Create");
    await enter();
    await page.until(() => location.hash.startsWith("#/sandbox/"));
    await to("Terminal");
    await enter();
    await prompt(page);
    // The terminal has the keyboard, Tab included, until it is asked to let go.
    assert.ok(await page.evaluate(() => document.activeElement.closest(".xterm") !== null));
    await tab();
    assert.ok(await page.evaluate(() => document.activeElement.closest(".xterm") !== null));
    await page.press("F6", 117, undefined, 2);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Close");
  });
});
