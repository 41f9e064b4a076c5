// Values as text for people: Node's own.

import util from "node:util";

export const { inspect } = util;
