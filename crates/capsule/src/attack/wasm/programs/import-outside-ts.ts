import { task } from "@capsule-run/sdk";
import secret from "../outside/secret";

export const main = task({ name: "main" }, () => secret);
