import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", timeout: "300ms", compute: "HIGH" }, () => {
  const text = `${"a".repeat(60)}b`;
  return [/^(a|aa)+$/, /(a+)+$/, /^(([a-z])+.)+[A-Z]([a-z])+$/].map((pattern) => pattern.test(text));
});
