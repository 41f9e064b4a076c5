/**
 * Asks the one server that it may, and no other.
 *
 *     python3 -m http.server 8000 --bind 127.0.0.1 --directory examples/tasks/http/served &
 *     capsule run examples/tasks/http/main.ts
 *
 * A host on the Internet is a name: `allowedHosts: ["api.example.com"]`.
 */

import { DeniedError, task } from "@capsule-run/sdk";

interface Moon {
  name: string;
  planet: string;
}

export const main = task(
  { name: "main", timeout: "10s", allowedHosts: ["127.0.0.1:8000"] },
  async () => {
    const moons = (await (await fetch("http://127.0.0.1:8000/moons.json")).json()) as Moon[];
    const missing = await fetch("http://127.0.0.1:8000/suns.json");
    let denied = false;
    try {
      await fetch("http://127.0.0.1:9000/");
    } catch (error) {
      denied = error instanceof DeniedError;
    }
    return {
      "of Jupiter": moons.filter((moon) => moon.planet === "Jupiter").map((moon) => moon.name),
      missing: missing.status,
      denied,
    };
  },
);
