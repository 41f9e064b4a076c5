// `console`: formatted here, written by the host.

import { format } from "./inspect.js";
import { write } from "./output.js";

const line = (channel) => (...given) => write(channel, `${format(...given)}\n`);
for (const [name, channel] of [["log", 1], ["info", 1], ["debug", 1], ["warn", 2], ["error", 2]]) {
  globalThis.console[name] = line(channel);
}
