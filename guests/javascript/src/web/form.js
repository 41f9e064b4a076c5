// Forms as bodies: multipart/form-data written, and both kinds read.

const encoder = new TextEncoder();
const NativeResponse = globalThis.Response;

const escaped = (name) => name.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");

/** The source of a body that is a form. */
export function multipart(form) {
  const boundary = `----capsule${crypto.randomUUID().replaceAll("-", "")}`;
  const later = async () => {
    const parts = [];
    for (const [name, value] of form.entries()) {
      const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(name)}"`;
      if (typeof value === "string") {
        parts.push(encoder.encode(`${head}\r\n\r\n${value.replace(/\r?\n|\r/g, "\r\n")}\r\n`));
        continue;
      }
      const type = value.type || "application/octet-stream";
      parts.push(encoder.encode(`${head}; filename="${escaped(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`));
      parts.push(new Uint8Array(await value.arrayBuffer()), encoder.encode("\r\n"));
    }
    parts.push(encoder.encode(`--${boundary}--\r\n`));
    const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  return { later, type: `multipart/form-data; boundary=${boundary}` };
}

/** The form that bytes hold. */
export async function parseForm(bytes, type) {
  if (type.startsWith("application/x-www-form-urlencoded")) {
    const form = new FormData();
    for (const [name, value] of new URLSearchParams(new TextDecoder().decode(bytes))) form.append(name, value);
    return form;
  }
  if (!type.startsWith("multipart/form-data")) throw new TypeError("the body is no form");
  // The engine has a parser of its own for these.
  return new NativeResponse(bytes, { headers: { "content-type": type } }).formData();
}
