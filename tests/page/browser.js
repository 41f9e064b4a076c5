// A headless Chromium, driven over its own protocol on a pipe: two descriptors, messages of
// JSON that end with a zero byte. Nothing else is needed, and no port is opened.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE = 60_000;

export const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

export class Browser {
  #process;
  #profile;
  #number = 0;
  #waiting = new Map();
  #listeners = new Map();

  /** Names of hosts that lead to this machine; all others lead nowhere. */
  static async start({ hosts = [] } = {}) {
    const browser = new Browser();
    browser.#profile = mkdtempSync(join(tmpdir(), "capsule-chromium-"));
    // Numbers are names, too, until an exclusion says otherwise.
    const rules = [
      ...hosts.map((host) => `MAP ${host} 127.0.0.1`),
      "MAP * ~NOTFOUND",
      "EXCLUDE localhost",
      "EXCLUDE 127.0.0.1",
    ];
    const child = spawn(
      process.env.CAPSULE_CHROMIUM ?? "chromium",
      [
        "--headless=new",
        "--remote-debugging-pipe",
        `--user-data-dir=${browser.#profile}`,
        // Chromium has no sandbox for root, and opens nothing here but the pages of the tests.
        ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--lang=en-US",
        `--host-resolver-rules=${rules.join(", ")}`,
      ],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    );
    browser.#process = child;
    child.on("exit", () => browser.#fail(new Error("Chromium ended")));
    child.on("error", (error) => browser.#fail(error));
    let rest = "";
    child.stdio[4].setEncoding("utf8");
    child.stdio[4].on("data", (data) => {
      const messages = (rest + data).split("\0");
      rest = messages.pop();
      for (const message of messages) browser.#hear(JSON.parse(message));
    });
    child.stdio[3].on("error", () => {});
    await browser.send("Browser.getVersion");
    return browser;
  }

  send(method, params = {}, sessionId = undefined) {
    this.#number += 1;
    const id = this.#number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${method} was not answered`));
      }, PATIENCE);
      this.#waiting.set(id, { resolve, reject, timer, method });
      this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  listen(sessionId, listener) {
    this.#listeners.set(sessionId, listener);
  }

  #hear(message) {
    if (message.id === undefined) {
      this.#listeners.get(message.sessionId)?.(message.method, message.params);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.error) waiting.reject(new Error(`${waiting.method}: ${message.error.message}`));
    else waiting.resolve(message.result);
  }

  #fail(error) {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
  }

  /** A page with storage of its own. */
  async open({ width = 1280, height = 800, dark = false, phone = false } = {}) {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", {
      url: "about:blank",
      browserContextId,
      width,
      height,
    });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, browserContextId);
    await page.prepare({ width, height, dark, phone });
    return page;
  }

  async close() {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.send("Browser.close").catch(() => {});
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
    if (this.#process.exitCode === null && this.#process.signalCode === null) await ended;
    clearTimeout(timer);
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class Page {
  /** Whatever the browser complains about: errors, refusals of the policy, exceptions. */
  problems = [];
  /** Every address that was asked for. */
  requests = [];
  #browser;
  #session;
  #context;

  constructor(browser, session, context) {
    this.#browser = browser;
    this.#session = session;
    this.#context = context;
    browser.listen(session, (method, params) => this.#hear(method, params));
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }

  #hear(method, params) {
    if (method === "Runtime.exceptionThrown") {
      this.problems.push(
        params.exceptionDetails.exception?.description ?? params.exceptionDetails.text,
      );
    } else if (
      method === "Runtime.consoleAPICalled" &&
      ["error", "warning", "assert"].includes(params.type)
    ) {
      this.problems.push(params.args.map((one) => one.value ?? one.description).join(" "));
    } else if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
      this.problems.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    } else if (method === "Network.requestWillBeSent") {
      this.requests.push(params.request.url);
    } else if (method === "Network.webSocketCreated") {
      this.requests.push(params.url);
    } else if (method === "Page.javascriptDialogOpening") {
      this.problems.push(`a dialog: ${params.message}`);
      this.send("Page.handleJavaScriptDialog", { accept: false }).catch(() => {});
    }
  }

  async prepare({ width, height, dark, phone }) {
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.send(`${domain}.enable`);
    await this.send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: phone,
    });
    if (phone) await this.send("Emulation.setTouchEmulationEnabled", { enabled: true });
    const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
    await this.send("Emulation.setEmulatedMedia", { features });
  }

  async goto(url) {
    const { errorText } = await this.send("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.until(() => document.readyState === "complete", [], `${url} is loaded`);
  }

  /** Runs a function in the page. */
  async evaluate(run, ...values) {
    const expression = `(${run})(...${JSON.stringify(values)})`;
    const asked = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", asked);
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Waits until a function of the page answers something. */
  async until(run, values = [], what = String(run)) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = await this.evaluate(run, ...values).catch((error) => {
        // A page that is being replaced has no place to run in.
        if (/context|navigat/i.test(error.message)) return null;
        throw error;
      });
      if (found) return found;
      if (Date.now() > end) {
        const seen = await this.text().catch(() => "nothing");
        throw new Error(
          `it never came: ${what}\n${seen.slice(0, 3000)}\n${this.problems.join("\n")}`,
        );
      }
      await sleep(50);
    }
  }

  /** Waits for a text on the page. */
  sees(text) {
    return this.until(
      (text) => document.body?.innerText.includes(text),
      [text],
      `the text "${text}"`,
    );
  }

  text() {
    return this.evaluate(() => document.body?.innerText ?? "");
  }

  /** Clicks where an element is, as a hand would: by a selector, and a text in it. */
  async click(selector, text = null) {
    const find = (selector, text) => {
      const all = [...document.querySelectorAll(selector)];
      const found = all.find(
        (one) => one.checkVisibility() && (text === null || one.textContent.trim() === text),
      );
      if (!found || found.disabled) return null;
      found.scrollIntoView({ block: "center" });
      const box = found.getBoundingClientRect();
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      // What lies over it would be hit in its place.
      return found.contains(document.elementFromPoint(x, y)) ? { x, y } : null;
    };
    const { x, y } = await this.until(find, [selector, text], `${selector} ${text ?? ""} to click`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  /** Types into whatever has the focus. */
  async type(text) {
    for (const piece of text.split(/(\n)/)) {
      if (piece === "\n") await this.press("Enter", 13, "\r");
      else if (piece) await this.send("Input.insertText", { text: piece });
    }
  }

  async press(key, code = 0, text = undefined, modifiers = 0) {
    const event = { key, code: key, windowsVirtualKeyCode: code, modifiers };
    await this.send("Input.dispatchKeyEvent", {
      type: text ? "keyDown" : "rawKeyDown",
      ...event,
      text,
    });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Puts the page's window away, or back. */
  async hide(is = true) {
    const { windowId } = await this.send("Browser.getWindowForTarget", {});
    const bounds = { windowState: is ? "minimized" : "normal" };
    await this.send("Browser.setWindowBounds", { windowId, bounds });
    await this.until((state) => document.visibilityState === state, [is ? "hidden" : "visible"]);
  }

  /** Waits until more was asked for than so many things. */
  async untilRequested(count) {
    for (const end = Date.now() + PATIENCE; this.requests.length <= count; await sleep(50)) {
      if (Date.now() > end) throw new Error("nothing was asked for");
    }
  }

  /** Where downloads of this page go. */
  downloads(downloadPath) {
    const asked = { behavior: "allow", browserContextId: this.#context, downloadPath };
    return this.#browser.send("Browser.setDownloadBehavior", asked);
  }

  /** The clipboard may be read and written, as by somebody who was asked. */
  grantClipboard() {
    const permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
    return this.#browser.send("Browser.grantPermissions", {
      permissions,
      browserContextId: this.#context,
    });
  }

  async screenshot(path) {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    writeFileSync(path, Buffer.from(data, "base64"));
  }

  async close() {
    await this.#browser.send("Target.disposeBrowserContext", { browserContextId: this.#context });
  }
}
