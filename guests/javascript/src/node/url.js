// `node:url`: the old functions from the package of that name, the rest is the web's.

import * as old from "url/";

/** The path of a `file:` URL. */
export function fileURLToPath(url) {
  const { protocol, pathname } = new URL(url);
  if (protocol !== "file:") {
    throw Object.assign(new TypeError("The URL must be of scheme file"), { code: "ERR_INVALID_URL_SCHEME" });
  }
  return decodeURIComponent(pathname);
}

/** The `file:` URL of a path. */
export function pathToFileURL(path) {
  const absolute = path.startsWith("/") ? path : `${process.cwd().replace(/\/$/, "")}/${path}`;
  return new URL(`file://${encodeURI(absolute).replaceAll("?", "%3F").replaceAll("#", "%23")}`);
}

export default {
  ...old,
  URL,
  URLSearchParams,
  fileURLToPath,
  pathToFileURL,
  domainToASCII: (domain) => new URL(`http://${domain}`).hostname,
  domainToUnicode: (domain) => domain,
  urlToHttpOptions: ({ protocol, hostname, hash, search, pathname, href, port, username, password }) => ({
    protocol, hostname, hash, search, pathname, path: `${pathname}${search}`, href,
    ...(port === "" ? {} : { port: Number(port) }),
    ...(username === "" && password === "" ? {} : { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` }),
  }),
};
