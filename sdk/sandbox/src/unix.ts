/** `fetch` where the platform's knows no Unix socket. */

import { nodeHttp, nodeStream } from "./platform.js";

/** `fetch` over a Unix socket, as far as it is used here. */
export async function unixFetch(path: string, url: string, init: RequestInit): Promise<Response> {
  const [{ request }, { Readable }] = await Promise.all([nodeHttp(), nodeStream()]);
  const { pathname, search, host } = new URL(url);
  const headers = { host, ...(init.headers as Record<string, string>) };
  const options = {
    socketPath: path,
    path: pathname + search,
    method: init.method ?? "GET",
    headers,
    ...(init.signal ? { signal: init.signal } : undefined),
    agent: false as const,
  };
  return await new Promise((resolve, reject) => {
    const sent = request(options, (answer) => {
      const fields = Object.entries(answer.headers).map(
        ([name, value]) => [name, String(value)] as [string, string],
      );
      const status = answer.statusCode ?? 0;
      const body = status === 204 ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
      resolve(new Response(body, { status, headers: fields }));
    });
    sent.on("error", reject);
    const { body } = init;
    if (body === undefined || body === null) sent.end();
    else if (typeof body === "string") sent.end(body);
    else {
      const stream = new Response(body).body as unknown as Parameters<typeof Readable.fromWeb>[0];
      Readable.fromWeb(stream).on("error", reject).pipe(sent);
    }
  });
}
