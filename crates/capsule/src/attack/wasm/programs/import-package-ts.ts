import { task } from "@capsule-run/sdk";
import secret from "leaky";

export const main = task({ name: "main" }, () => secret);
