// What comes out of a sandbox is shown, and does nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { prompt, shows, stage } from "./stage.js";

const on = stage();

const MARKUP = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`;
const REVERSED = "\u202egpj.exe";
const ESCAPES =
  "\u001b]0;taken\u0007\u001b[31mred\u001b[0m\u001b]8;;http://attacker.example\u0007link\u001b]8;;\u0007";
const base64 = (text) => Buffer.from(text).toString("base64");

/** Nothing of it became more than text. */
async function isUnharmed(page) {
  const found = await page.evaluate(() => ({
    title: document.title,
    parts: document.querySelectorAll(
      "main img, main script, main iframe, main a[href^=http], dialog img",
    ).length,
    reversed: /[\u200b-\u200f\u202a-\u202e\u2066-\u2069\u001b]/.test(document.body.innerText),
  }));
  assert.doesNotMatch(found.title, /taken/);
  assert.deepEqual([found.parts, found.reversed], [0, false]);
}

test("labels, metadata and templates are text", async () => {
  const labels = { [MARKUP.slice(0, 60)]: REVERSED, esc: ESCAPES.slice(0, 60) };
  const id = await on.serve.create({ labels, metadata: { [MARKUP.slice(0, 60)]: MARKUP } });
  await on.page("", async (page) => {
    await page.sees("<img src=x");
    await page.sees("\\u{202e}gpj.exe");
    await isUnharmed(page);
    await page.click(`a[href="#/sandbox/${id}"]`);
    await page.sees("<script>");
    await isUnharmed(page);
  });
  await on.serve.call("delete", { id });
});

test("commands and output are text", async () => {
  const id = await on.serve.create();
  const output = `${MARKUP}\n${REVERSED}\n${ESCAPES}\n\u0000\u0008\u009b31m\ufeff\u2028end`;
  await on.serve.call("writeFile", { id, path: "output", content: base64(output) });
  await on.serve.call("exec", {
    id,
    cmd: ["sh", "-c", "cat output; cat output >&2", MARKUP, REVERSED, "\u001b[2J"],
  });
  await on.page("#/log", async (page) => {
    await page.click(".execution summary");
    await page.until(() => document.querySelector("pre"));
    const [first] = await page.evaluate(() =>
      Array.from(document.querySelectorAll("pre"), (one) => one.textContent),
    );
    assert.equal(
      first,
      `${MARKUP}\n\\u{202e}gpj.exe\n\\e]0;taken\\u{7}red\\e]8;;http://attacker.example\\u{7}link\\e]8;;\\u{7}\n\\u{0}\\u{8}\\u{9b}31m\\u{feff}\\u{2028}end`,
    );
    await isUnharmed(page);
  });
});

test("names and contents of files are text", async () => {
  const id = await on.serve.create();
  const names = [
    MARKUP.replaceAll("/", "|"),
    `a${REVERSED}`,
    "\u001b]0;taken\u0007",
    "line\nbreak",
    "&amp;<b>",
    "#?%2e%2e",
    " ",
    "-rf",
    "javascript:alert(1)",
    "\ud83d\ude80 ok",
  ];
  for (const path of names)
    await on.serve.call("writeFile", { id, path, content: base64(MARKUP + REVERSED) });
  await on.page(`#/sandbox/${id}/files`, async (page) => {
    await page.sees("javascript:alert(1)");
    const listed = await page.evaluate(() =>
      Array.from(document.querySelectorAll("button.file"), (one) => one.textContent),
    );
    assert.equal(listed.length, names.length);
    for (const name of [
      "a\\u{202e}gpj.exe",
      "\\e]0;taken\\u{7}",
      "line\u23cebreak",
      "&amp;<b>",
      "#?%2e%2e",
      " ",
      "\ud83d\ude80 ok",
    ]) {
      assert.ok(listed.includes(name), `${name} in ${listed}`);
    }
    await isUnharmed(page);
    // Each of them opens as what it is.
    for (const place of listed.keys()) {
      await page.evaluate(
        (place) => document.querySelectorAll("button.file")[place].click(),
        place,
      );
      await page.until(() =>
        document.querySelector("dialog[open] pre")?.textContent.endsWith("\\u{202e}gpj.exe"),
      );
      await isUnharmed(page);
      await page.click("dialog button", "Close");
      await page.until(() => document.querySelector("dialog") === null);
    }
  });
});

test("a folder with a hostile name is entered and left", async () => {
  const id = await on.serve.create();
  await on.serve.call("writeFile", {
    id,
    path: `${MARKUP.replaceAll("/", "|")}/${REVERSED}/in`,
    content: "",
  });
  await on.page(`#/sandbox/${id}/files`, async (page) => {
    await page.click("button.folder");
    await page.click("button.folder", "\\u{202e}gpj.exe/");
    await page.until(() => document.querySelector("button.file")?.textContent === "in");
    await isUnharmed(page);
  });
});

test("output in a terminal only draws", async () => {
  const id = await on.serve.create();
  const bad = [
    "\u001b]0;taken\u0007\u001b]1;taken\u0007\u001b]2;taken\u0007",
    "\u001b]52;c;dGFrZW4=\u0007",
    "\u001b]8;;http://attacker.example\u0007a-link\u001b]8;;\u0007",
    "\u001b]4;1;#00ff00\u0007\u001b]10;#ffffff\u0007\u001b]11;#ffffff\u0007\u001b]12;#ffffff\u0007",
    "\u001b]1337;File=inline=1:AAAA\u0007\u001bP+q544e\u001b\\\u001b_Ga=T;AAAA\u001b\\\u001b^x\u001b\\",
    "\u001b[8;5;5t\u001b[3;0;0t\u001b[2t\u001b[5i\u001b[?69h\u0007\u0005",
    "<img src=x onerror=\"document.title='taken'\">",
  ].join("");
  await on.serve.call("writeFile", { id, path: "bad", content: base64(bad) });
  await on.page(`#/sandbox/${id}/terminal`, async (page) => {
    await page.grantClipboard();
    await prompt(page);
    await page.evaluate(() => navigator.clipboard.writeText("mine"));
    const look = () => {
      const styles = getComputedStyle(document.querySelector(".xterm-rows"));
      return [
        document.title,
        document.querySelectorAll(".xterm-rows > div").length,
        styles.color,
        location.href,
      ];
    };
    const before = await page.evaluate(look);
    await page.type("clear; cat bad; echo; echo it-$((1 + 1))\n");
    await shows(page, "it-2");
    await shows(page, "a-link");
    assert.deepEqual(await page.evaluate(look), before);
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "mine");
    await page.click(".xterm-screen");
    assert.equal(
      await page.evaluate(
        () => document.querySelectorAll(".xterm a, .xterm img, .xterm .xterm-underline-1").length,
      ),
      0,
    );
    await isUnharmed(page);
  });
});

test("a terminal answers no question", async () => {
  const id = await on.serve.create();
  const questions = [
    "\u001b[c",
    "\u001b[0c",
    "\u001b[>c",
    "\u001b[=c",
    "\u001b[5n",
    "\u001b[6n",
    "\u001b[?6n",
    "\u001b[?15n",
    "\u001b[?1$p",
    "\u001b[4$p",
    "\u001b[>q",
    "\u001b[>0q",
    "\u001b[x",
    "\u001b[?u",
    "\u001bZ",
    "\u0005",
    "\u001b[11t",
    "\u001b[13t",
    "\u001b[14t",
    "\u001b[16t",
    "\u001b[18t",
    "\u001b[19t",
    "\u001b[20t",
    "\u001b[21t",
    "\u001bP$qm\u001b\\",
    "\u001bP$qr\u001b\\",
    "\u001bP+q544e\u001b\\",
    "\u001b]4;1;?\u0007",
    "\u001b]10;?\u0007",
    "\u001b]11;?\u001b\\",
    "\u001b]12;?\u0007",
    "\u001b]52;c;?\u0007",
    "\u001b]50;?\u0007",
  ].join("");
  await on.serve.call("writeFile", { id, path: "questions", content: base64(questions) });
  await on.page(`#/sandbox/${id}/terminal`, async (page) => {
    await prompt(page);
    await page.type(
      "stty -echo -icanon; clear; cat questions; sleep 1; IFS= read -r -n 1 -t 1 a; echo \"status $? heard '$a' that-$((1 + 1))\"\n",
    );
    await shows(page, "status 142 heard '' that-2");
  });
});

test("what is pasted cannot end its brackets", async () => {
  const id = await on.serve.create();
  await on.page(`#/sandbox/${id}/terminal`, async (page) => {
    await page.grantClipboard();
    await prompt(page);
    await page.type(
      "clear; printf '\\033[?2004h'; stty -icanon -echo; echo at-$((1 + 1)); head -c 22 | od -An -c | tr -d ' \\n'; echo; stty sane\n",
    );
    await shows(page, "at-2");
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.setData("text/plain", "ls\u001b[201~\nrm");
      document
        .querySelector(".xterm-helper-textarea")
        .dispatchEvent(
          new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }),
        );
    });
    await shows(page, "033[200~ls[201~\\nrm033[201~");
  });
});
