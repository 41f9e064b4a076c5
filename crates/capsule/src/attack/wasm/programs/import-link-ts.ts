import { task } from "@capsule-run/sdk";
import secret from "./leak";

export const main = task({ name: "main" }, () => secret);
