import { task } from "@capsule-run/sdk";
import { value } from "./helper";
import * as probe from "./probe";

export const main = task({ name: "main" }, () => {
  probe.expect("the source is what runs", value === "source", value);
  return probe.told();
});
