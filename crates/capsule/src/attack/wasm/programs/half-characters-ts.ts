import { task } from "@capsule-run/sdk";

export const main = task({ name: "main" }, () => {
  (String.prototype as any).isWellFormed = () => true;
  return ["\ud800", { "\udfff": 1 }];
});
