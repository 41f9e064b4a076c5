// `node:crypto`: hashes, keys made of passwords, random numbers. Ciphers and signatures are not here.

import { hmac } from "@noble/hashes/hmac.js";
import { md5, ripemd160, sha1 } from "@noble/hashes/legacy.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { pbkdf2 } from "@noble/hashes/pbkdf2.js";
import { scrypt } from "@noble/hashes/scrypt.js";
import { sha224, sha256, sha384, sha512, sha512_256 } from "@noble/hashes/sha2.js";
import { sha3_256, sha3_384, sha3_512 } from "@noble/hashes/sha3.js";
import { Buffer } from "./buffer.js";
import { Transform } from "readable-stream";

const HASHES = {
  "md5": md5, "rmd160": ripemd160, "ripemd160": ripemd160, "sha1": sha1, "sha224": sha224, "sha256": sha256,
  "sha384": sha384, "sha512": sha512, "sha512-256": sha512_256, "sha3-256": sha3_256, "sha3-384": sha3_384,
  "sha3-512": sha3_512,
};

function known(name) {
  const hash = HASHES[String(name).toLowerCase().replace(/^rsa-/, "").replace(/^sha-(?=\d)/, "sha")];
  if (hash === undefined) {
    throw new Error("Digest method not supported");
  }
  return hash;
}

function bytesOf(data, encoding) {
  if (typeof data === "string") return Buffer.from(data, encoding === "buffer" ? "utf8" : encoding ?? "utf8");
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof KeyObject) return data.export();
  throw Object.assign(new TypeError('The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView.'), { code: "ERR_INVALID_ARG_TYPE" });
}

const encoded = (bytes, encoding) => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return encoding === undefined || encoding === "buffer" ? buffer : buffer.toString(encoding);
};

class Hash extends Transform {
  #state;
  #isOver = false;
  constructor(state) {
    super();
    this.#state = state;
  }
  update(data, encoding) {
    if (this.#isOver) throw Object.assign(new Error("Digest already called"), { code: "ERR_CRYPTO_HASH_FINALIZED" });
    this.#state.update(bytesOf(data, encoding));
    return this;
  }
  digest(encoding) {
    if (this.#isOver) throw Object.assign(new Error("Digest already called"), { code: "ERR_CRYPTO_HASH_FINALIZED" });
    this.#isOver = true;
    return encoded(this.#state.digest(), encoding);
  }
  copy() {
    return new Hash(this.#state.clone());
  }
  _transform(data, encoding, callback) {
    this.update(data, encoding);
    callback();
  }
  _flush(callback) {
    this.push(this.digest());
    callback();
  }
}

/** A secret key; nothing else is one here. */
class KeyObject {
  #bytes;
  constructor(bytes) {
    this.#bytes = bytes;
    this.type = "secret";
  }
  get symmetricKeySize() {
    return this.#bytes.length;
  }
  export() {
    return Buffer.from(this.#bytes);
  }
}

function randomFill(target, offset = 0, size = target.byteLength - offset) {
  const bytes = new Uint8Array(target.buffer ?? target, (target.byteOffset ?? 0) + offset, size);
  // So many the engine gives at once.
  for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return target;
}

function randomInt(least, most) {
  if (most === undefined) [least, most] = [0, least];
  const range = most - least;
  if (!Number.isSafeInteger(least) || !Number.isSafeInteger(most) || range <= 0 || range > 2 ** 48) {
    throw Object.assign(new RangeError('The value of "max" is out of range.'), { code: "ERR_OUT_OF_RANGE" });
  }
  const limit = 2 ** 48 - (2 ** 48 % range);
  for (;;) {
    const number = Buffer.from(randomFill(new Uint8Array(6))).readUIntBE(0, 6);
    if (number < limit) return least + (number % range);
  }
}

/** A function that is done at once, and its form with a callback. */
const late = (work) => (...given) => {
  const callback = typeof given.at(-1) === "function" ? given.pop() : undefined;
  if (callback === undefined) return work(...given);
  let answer;
  try {
    answer = [null, work(...given)];
  } catch (error) {
    answer = [error];
  }
  setImmediate(callback, ...answer);
};

const pbkdf2Sync = (password, salt, c, dkLen, digest) =>
  Buffer.from(pbkdf2(known(digest), bytesOf(password), bytesOf(salt), { c, dkLen }));

const scryptSync = (password, salt, dkLen, { N, cost, r, blockSize, p, parallelization } = {}) =>
  Buffer.from(scrypt(bytesOf(password), bytesOf(salt), { N: N ?? cost ?? 16384, r: r ?? blockSize ?? 8, p: p ?? parallelization ?? 1, dkLen }));

const hkdfSync = (digest, key, salt, info, length) => {
  const bytes = hkdf(known(digest), bytesOf(key), bytesOf(salt), bytesOf(info), length);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};

const missing = (name) => () => {
  throw new Error(`crypto.${name}() is not in a Wasm sandbox; the task option isolation: "jail" runs the task in Node`);
};

const module = {
  createHash: (name) => new Hash(known(name).create()),
  createHmac: (name, key) => new Hash(hmac.create(known(name), bytesOf(key))),
  createSecretKey: (key, encoding) => new KeyObject(bytesOf(key, encoding)),
  hash: (name, data, encoding = "hex") => encoded(known(name)(bytesOf(data)), encoding),
  getHashes: () => Object.keys(HASHES),
  getCiphers: () => [],
  getCurves: () => [],
  randomBytes: late((size) => Buffer.from(randomFill(new Uint8Array(size)))),
  randomFillSync: randomFill,
  randomFill: late(randomFill),
  randomInt: late(randomInt),
  randomUUID: () => crypto.randomUUID(),
  timingSafeEqual(a, b) {
    const [left, right] = [bytesOf(a), bytesOf(b)];
    if (left.length !== right.length) {
      throw Object.assign(new RangeError("Input buffers must have the same byte length"), { code: "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH" });
    }
    let difference = 0;
    for (let index = 0; index < left.length; index++) difference |= left[index] ^ right[index];
    return difference === 0;
  },
  pbkdf2Sync, scryptSync, hkdfSync,
  pbkdf2: late(pbkdf2Sync),
  scrypt: late(scryptSync),
  hkdf: late(hkdfSync),
  KeyObject,
  Hash,
  constants: {},
  get webcrypto() {
    return crypto;
  },
  get subtle() {
    return crypto.subtle;
  },
  getRandomValues: (array) => crypto.getRandomValues(array),
};
module.pseudoRandomBytes = module.prng = module.rng = module.randomBytes;
for (const name of [
  "createCipheriv", "createDecipheriv", "createSign", "createVerify", "sign", "verify", "generateKeyPair",
  "generateKeyPairSync", "createPrivateKey", "createPublicKey", "publicEncrypt", "privateDecrypt",
  "createDiffieHellman", "createECDH", "generateKeySync", "generateKey",
]) {
  module[name] = missing(name);
}

export default module;
