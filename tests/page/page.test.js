// The page as people use it.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { prompt, saved, shows, stage } from "./stage.js";

const on = stage();

test("a sandbox is created from the page, and a command runs in its terminal", async () => {
  await on.page("", async (page) => {
    await page.click("button", "New sandbox");
    await page.until(() => document.querySelector("dialog[open] select[name=template]"));
    await page.evaluate(() => {
      document.querySelector("select[name=template]").value = "shell";
      document.querySelector("dialog details").open = true;
      document.querySelector("textarea[name=labels]").value = "made=here\nempty=";
    });
    await page.click("dialog button", "Create");
    const id = await page.until(() => location.hash.match(/^#\/sandbox\/([a-z0-9-]+)$/)?.[1]);
    const made = await on.serve.call("get", { id });
    assert.deepEqual([made.template, made.labels], ["shell", { made: "here", empty: "" }]);
    await page.click("nav.parts a", "Terminal");
    await prompt(page);
    await page.type("echo $((6 * 7))-is-it\n");
    await shows(page, "\n42-is-it");
    // The terminal goes on while one looks elsewhere, and is the same afterwards.
    await page.click("nav.parts a", "Files");
    await page.sees("This folder is empty");
    await page.click("nav.parts a", "Terminal");
    await shows(page, "42-is-it");
    assert.equal((await on.serve.call("get", { id })).processes, 1);
    await page.click("button", "Close");
    await page.sees("About it");
  });
});

test("the terminal has the size that is seen, and colours", async () => {
  const id = await on.serve.create();
  await on.page(`#/sandbox/${id}/terminal`, async (page) => {
    await prompt(page);
    const sized = async (name) => {
      // The new size is told while the screen has it already: it arrives, but later.
      for (let tries = 0; ; tries += 1) {
        await page.type(`clear; stty size | sed 's/^/${name}${tries} /'\n`);
        const find = (name) =>
          document
            .querySelector(".xterm-rows")
            .textContent.match(`^${name} ([0-9]+) ([0-9]+)`)
            ?.slice(1)
            .map(Number);
        const told = await page.until(find, [`${name}${tries}`]);
        const rows = await page.evaluate(
          () => document.querySelectorAll(".xterm-rows > div").length,
        );
        if (told[0] === rows) return told;
        assert.ok(tries < 20, `${told} in ${rows} rows`);
      }
    };
    const [, wide] = await sized("wide");
    await page.send("Emulation.setDeviceMetricsOverride", {
      width: 700,
      height: 600,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await page.until((rows) => document.querySelectorAll(".xterm-rows > div").length < rows, [30]);
    // Height and width may be seen one after the other.
    let narrow = wide;
    for (let tries = 0; narrow === wide && tries < 20; tries += 1)
      [, narrow] = await sized(`narrow${tries}x`);
    assert.ok(narrow < wide && narrow > 40, `${wide} to ${narrow} columns`);
    await page.type(
      "clear; printf '\\033[38;2;120;30;0mrust\\033[0m \\033[1;31mred\\033[0m \\346\\274\\242|\\n'\n",
    );
    await shows(page, "rust red 漢|");
    const colour = await page.evaluate(() => {
      const spans = [...document.querySelectorAll(".xterm-rows span")];
      return getComputedStyle(spans.find((span) => span.textContent.startsWith("rust"))).color;
    });
    assert.equal(colour, "rgb(120, 30, 0)");
    // A program that has the whole screen gives it back.
    await page.type(
      "clear; printf '\\033[?1049h\\033[2J\\033[3;5Hin the middle'; read -r; printf '\\033[?1049l'\n",
    );
    // Not where the command itself stands, while it is typed.
    await page.until(
      () =>
        document
          .querySelectorAll(".xterm-rows > div")[2]
          ?.textContent.replaceAll("\u00a0", " ")
          .trimEnd() === "    in the middle",
    );
    await page.type("\n");
    await page.until(
      () =>
        !document.querySelector(".xterm-rows").textContent.includes("in\u00a0the\u00a0middle") ||
        null,
    );
  });
});

test("a flood does not drown the page", async () => {
  const id = await on.serve.create();
  await on.page(`#/sandbox/${id}/terminal`, async (page) => {
    await prompt(page);
    await page.type("head -c 8000000 /dev/zero | tr '\\0' y; echo; echo flood-is-$((1 + 1))\n");
    await shows(page, "flood-is-2");
    await page.type("echo and-$((2 + 2))\n");
    await shows(page, "and-4");
  });
});

test("a terminal ends with its page, and with its shell", async () => {
  const id = await on.serve.create();
  await on.page(`#/sandbox/${id}/terminal`, async (page) => {
    await prompt(page);
    await page.type("exit 3\n");
    await page.sees("ended (exit 3)");
    await page.click("button", "Start again");
    await prompt(page);
  });
  let left = 1;
  for (let tries = 0; left > 0 && tries < 200; tries += 1) {
    left = (await on.serve.call("get", { id })).processes;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(left, 0);
});

test("charts move, and the list tells what is used", async () => {
  const id = await on.serve.create({ labels: { load: "some" } });
  await on.serve.call("start", {
    id,
    cmd: ["sh", "-c", "head -c 5000000 /dev/zero > f; while :; do :; done"],
  });
  await on.page("", async (page) => {
    await page.sees("load=some");
    const cells = (id) => {
      const row = document.querySelector(`tr[data-key="${id}"]`);
      return (
        row &&
        Object.fromEntries(Array.from(row.cells, (cell) => [cell.dataset.label, cell.textContent]))
      );
    };
    await page.until(
      (id) =>
        /[1-9].*%/.test(
          document.querySelector(`tr[data-key="${id}"] [data-label=CPU]`)?.textContent,
        ),
      [id],
      "processor time in the list",
    );
    const seen = await page.evaluate(cells, id);
    assert.match(seen.Memory, /^\d+(\.\d)? [KM]iB$/);
    assert.equal(seen.State, "ready");
    await page.click(`a[href="#/sandbox/${id}"]`);
    await page.until(() => document.querySelectorAll(".chart").length === 5);
    const chart = (title) => {
      const found = [...document.querySelectorAll(".chart")].find(
        (one) => one.querySelector("figcaption span").textContent === title,
      );
      return {
        line: found.querySelector(".line").getAttribute("d"),
        value: found.querySelector("strong").textContent,
      };
    };
    const points = (line) => line.split("L").length;
    await page.until(`(title) => (${chart})(title).line.split("L").length > 3`, ["CPU"]);
    const before = await page.evaluate(chart, "CPU");
    assert.match(before.value, /^[1-9].* %$/);
    await page.until(`(title, line) => (${chart})(title).line !== line`, ["CPU", before.line]);
    for (const title of ["Memory", "Processes", "Disk"]) {
      const { line, value } = await page.evaluate(chart, title);
      assert.ok(points(line) > 1 && value !== "–", `${title}: ${value}`);
    }
    assert.match((await page.evaluate(chart, "Disk")).value, /^(4\.\d|5\.\d) MiB$/);
    await page.sees("head -c 5000000");
    await page.click("button", "Kill");
    await page.sees("signal 9");
  });
  await on.serve.call("delete", { id });
});

test("the log shows executions with their output, and finds them", async () => {
  const id = await on.serve.create();
  await on.serve.call("runCode", {
    id,
    language: "shell",
    code: "echo needle-in-output; echo sad >&2; exit 7",
  });
  await on.serve.call("exec", { id, cmd: ["echo", "something else"] });
  await on.page("#/log", async (page) => {
    await page.sees("something else");
    await page.click("input[type=search]");
    await page.type("needle-in");
    await page.until(() => document.querySelectorAll(".execution").length === 1);
    await page.sees("exit 7");
    await page.click(".execution summary");
    await page.until(() => document.querySelectorAll("pre").length === 2);
    assert.deepEqual(
      await page.evaluate(() =>
        Array.from(document.querySelectorAll("pre"), (one) => one.textContent),
      ),
      ["needle-in-output\n", "sad\n"],
    );
    // A command that is run from the page stands on top, with its output.
    await page.goto(`${on.serve.url}/#/sandbox/${id}/log`);
    await page.click(".runner input");
    await page.type("echo from the $((40 + 2))nd\n");
    await page.until(
      () => document.querySelector(".execution[open] pre")?.textContent === "from the 42nd\n",
    );
    await page.click("label.check");
    await page.until(() => document.querySelectorAll(".execution").length === 1);
  });
});

test("files are brought, looked at, fetched, renamed and removed", async () => {
  const id = await on.serve.create();
  const folder = mkdtempSync(join(tmpdir(), "capsule-files-"));
  const content = "line one\nline two\n";
  writeFileSync(join(folder, "up.txt"), content);
  await on.page(`#/sandbox/${id}/files`, async (page) => {
    await page.sees("This folder is empty");
    const { root } = await page.send("DOM.getDocument", {});
    const { nodeId } = await page.send("DOM.querySelector", {
      nodeId: root.nodeId,
      selector: "input[type=file]",
    });
    await page.send("DOM.setFileInputFiles", { nodeId, files: [join(folder, "up.txt")] });
    await page.sees("18 B");
    await page.click("button.file", "up.txt");
    await page.until(
      (content) => document.querySelector("dialog[open] pre")?.textContent === content,
      [content],
    );
    await page.click("dialog button", "Close");
    await page.downloads(join(folder, "down"));
    await page.click("td.actions button", "Download");
    await saved(join(folder, "down"), "up.txt");
    assert.equal(readFileSync(join(folder, "down", "up.txt"), "utf8"), content);
    await page.click("td.actions button", "Rename");
    await page.evaluate(() => document.querySelector("dialog input").select());
    await page.type("other.txt\n");
    await page.until(() => document.querySelector("button.file")?.textContent === "other.txt");
    await page.click("button", "New folder");
    await page.type("deep\n");
    await page.click("button.folder", "deep/");
    await page.sees("This folder is empty");
    await page.click(".crumbs button", "workspace");
    await page.click("tr:nth-child(2) td.actions button", "Delete");
    await page.click("dialog button.danger");
    await page.until(() => document.querySelectorAll("button.file").length === 1);
    assert.equal(
      await page.evaluate(() => document.querySelector("button.file").textContent),
      "deep/",
    );
  });
  rmSync(folder, { recursive: true });
});

test("sandboxes are paused, resumed, given time and deleted", async () => {
  const id = await on.serve.create({ ttl_ms: 60_000 });
  await on.page(`#/sandbox/${id}`, async (page) => {
    await page.click("button", "Pause");
    await page.sees("paused");
    assert.equal((await on.serve.call("get", { id })).state, "paused");
    await page.click("button", "Resume");
    await page.sees("ready");
    await page.click("button", "Extend");
    await page.evaluate(() => {
      document.querySelector("dialog select").value = "86400000";
    });
    await page.click("dialog button", "Set");
    await page.sees("expires in 23");
    await page.click("button", "Delete");
    await page.click("dialog button.danger");
    await page.sees("This sandbox has ended");
  });
  await assert.rejects(on.serve.call("get", { id }), /no sandbox/);
});

test("what others do to a sandbox shows without being asked for", async () => {
  const id = await on.serve.create();
  await on.page(
    `#/sandbox/${id}`,
    async (page) => {
      await page.sees("ready");
      await on.serve.call("pause", { id });
      await page.sees("paused");
      await on.serve.call("delete", { id });
      await page.sees("This sandbox has ended");
    },
    { expected: /404|400/ },
  );
});

test("templates and the doctor are told", async () => {
  await on.page("#/templates", async (page) => {
    for (const name of ["python", "node", "go", "shell"]) await page.sees(name);
    await page.click("header a", "Doctor");
    await page.sees("usable");
    for (const wall of ["seccomp", "landlock", "control groups"]) await page.sees(wall);
  });
});

test("volumes are made, seen and deleted", async () => {
  await on.page(
    "#/volumes",
    async (page) => {
      await page.sees("There is no volume");
      await page.click("button", "New volume");
      await page.click("dialog input[name=name]");
      await page.type("notes");
      await page.evaluate(() => {
        document.querySelector("dialog input[name=size]").value = "16";
      });
      await page.click("dialog button", "Make");
      await page.sees("notes");
      await page.sees("16.0 MiB");
      const { volumes } = await on.serve.call("volume.v1.list");
      assert.deepEqual(
        volumes.map(({ name, size_bytes }) => [name, size_bytes]),
        [["notes", 16 << 20]],
      );
      // One that a sandbox has stays, and the server says why.
      const id = await on.serve.create({ volumes: [{ volume: "notes", path: "/notes" }] });
      await page.click("button", "Delete");
      await page.click("dialog button.danger");
      await page.until(() =>
        document.querySelector("dialog .wrong")?.textContent.includes("notes"),
      );
      await on.serve.call("delete", { id });
      await page.until(async () => {
        document.querySelector("dialog button.danger")?.click();
        return document.querySelector("dialog") === null;
      });
      await page.sees("There is no volume");
    },
    { expected: /4\d\d/ },
  );
});

test("light and dark follow the system, and the switch", async () => {
  const ground = () => getComputedStyle(document.body).backgroundColor;
  const level = (colour) =>
    colour
      .match(/\d+/g)
      .slice(0, 3)
      .reduce((sum, part) => sum + Number(part), 0);
  await on.page(
    "",
    async (page) => {
      assert.ok(level(await page.evaluate(ground)) < 150);
      await page.click("#theme", "Light");
      assert.ok(level(await page.evaluate(ground)) > 600);
      // The choice is kept, and is there before anything is drawn.
      await page.goto(`${on.serve.url}/#/log`);
      assert.ok(level(await page.evaluate(ground)) > 600);
    },
    { dark: true },
  );
  await on.page("", async (page) => {
    assert.ok(level(await page.evaluate(ground)) > 600);
  });
});

test("a hidden page asks for nothing", async () => {
  await on.serve.create();
  await on.page("", async (page) => {
    await page.sees("ready");
    await page.hide();
    // What was under way may end.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const asked = page.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    assert.equal(page.requests.length, asked);
    await page.hide(false);
    await page.untilRequested(asked);
  });
});
