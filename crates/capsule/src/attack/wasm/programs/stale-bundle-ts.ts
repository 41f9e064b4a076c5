import { task } from "@capsule-run/sdk";
import { value } from "./helper";

export const main = task({ name: "main" }, () => value);
