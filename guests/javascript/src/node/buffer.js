// `node:buffer`: the package of that name, and the encoding that it lacks.

import * as buffer from "buffer/";

const { Buffer } = buffer;
const { from, byteLength, isEncoding } = Buffer;
const { toString, write } = Buffer.prototype;
const isUrl = (encoding) => typeof encoding === "string" && encoding.toLowerCase() === "base64url";

// Its decoder takes both alphabets.
Buffer.from = (value, encoding, length) => from(value, isUrl(encoding) ? "base64" : encoding, length);
Buffer.byteLength = (value, encoding) => byteLength(value, isUrl(encoding) ? "base64" : encoding);
Buffer.isEncoding = (encoding) => isUrl(encoding) || isEncoding(encoding);
Buffer.prototype.toString = function (encoding, start, end) {
  if (!isUrl(encoding)) return toString.call(this, encoding, start, end);
  return toString.call(this, "base64", start, end).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
};
Buffer.prototype.write = function (text, offset, length, encoding) {
  const plain = (given) => (isUrl(given) ? "base64" : given);
  return write.call(this, text, plain(offset), plain(length), plain(encoding));
};
// Integers of 64 bits have two spellings.
for (const name of Object.getOwnPropertyNames(Buffer.prototype)) {
  const other = name.replace("BigUInt64", "BigUint64");
  if (other !== name && Buffer.prototype[other] === undefined) Buffer.prototype[other] = Buffer.prototype[name];
}

export const { SlowBuffer, kMaxLength } = buffer;
export { Buffer };
