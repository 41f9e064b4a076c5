/** `await using` looks for this symbol; platforms that do not know it yet get it here, by the
 * name that compilers fall back to. */

if (Symbol.asyncDispose === undefined) {
  Object.defineProperty(Symbol, "asyncDispose", { value: Symbol.for("Symbol.asyncDispose") });
}

export {};
