/**
 * Packages from npm, bundled with the program.
 *
 *     cd examples/tasks/packages && npm ci && capsule run main.ts
 */

import { task } from "@capsule-run/sdk";
import nunjucks from "nunjucks";
import { z } from "zod";

const Guest = z.object({ name: z.string(), seats: z.number().int().positive().default(1) });

const PAGE = nunjucks.compile(
  "{% for guest in guests %}{{ guest.name }} ({{ guest.seats }}){{ ', ' if not loop.last }}{% endfor %}",
);

export const main = task({ name: "main" }, () => {
  const guests = [{ name: "Ada", seats: 2 }, { name: "Grace" }];
  return PAGE.render({ guests: guests.map((guest) => Guest.parse(guest)) });
});
