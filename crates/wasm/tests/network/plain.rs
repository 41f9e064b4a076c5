//! What programs do with the standard library, without TLS.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use capsule_backend::guest::GuestError;
use capsule_spec::ByteSize;
use serde_json::json;

use crate::support::{Site, given, has_runtime, server};

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn urllib_reads_a_page() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let ended = given(&LOCAL).run(
        "import urllib.request
def main(port):
    with urllib.request.urlopen(f'http://localhost:{port}/hello?a=1') as answer:
        return [answer.status, answer.read().decode()]
",
        &[json!(site.port)],
    );
    assert_eq!(ended.value(), &json!([200, "hello"]));
    let port = site.port;
    assert_eq!(ended.requests(), [format!("GET http://localhost:{port}/hello?a=1 200 allowed")]);
}

#[test]
fn a_connection_is_kept_and_every_request_on_it_is_recorded() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let ended = given(&LOCAL).run(
        "import http.client, json
def main(port):
    connection = http.client.HTTPConnection('127.0.0.1', port)
    told = []
    for method, path, body in [('POST', '/echo', b'x' * 10), ('PUT', '/echo?2', iter([b'ab', b'c'])), ('DELETE', '/echo', None)]:
        connection.request(method, path, body, {'X-Word': 'a b'}, encode_chunked=body is not None)
        told.append(json.loads(connection.getresponse().read()))
    connection.request('HEAD', '/hello')
    answer = connection.getresponse()
    told.append([answer.status, answer.read().decode(), answer.headers['Content-Length']])
    connection.request('GET', '/status?code=503')
    answer = connection.getresponse()
    told.append([answer.status, answer.read().decode()])
    connection.request('GET', '/chunked')
    told.append(connection.getresponse().read().decode())
    connection.request('GET', '/bytes?times=3')
    told.append(connection.getresponse().read() == bytes(range(256)) * 3)
    connection.request('GET', '/close')
    told.append(connection.getresponse().read().decode())
    return told
",
        &[json!(site.port)],
    );
    let told = ended.value().as_array().unwrap();
    let echoed =
        |at: usize| (&told[at]["method"], &told[at]["count"], &told[at]["headers"]["X-Word"]);
    assert_eq!(echoed(0), (&json!("POST"), &json!(10), &json!("a b")));
    assert_eq!(echoed(1), (&json!("PUT"), &json!(3), &json!("a b")));
    assert_eq!(echoed(2), (&json!("DELETE"), &json!(0), &json!("a b")));
    assert_eq!(told[0]["connection"], told[2]["connection"]);
    assert_eq!(told[3], json!([200, "", "5"]));
    assert_eq!(told[4], json!([503, "as you wish"]));
    assert_eq!(told[5..], [json!("one two three"), json!(true), json!("until the end")]);
    let url = format!("http://127.0.0.1:{}", site.port);
    let expected = [
        "POST /echo 200",
        "PUT /echo?2 200",
        "DELETE /echo 200",
        "HEAD /hello 200",
        "GET /status?code=503 503",
        "GET /chunked 200",
        "GET /bytes?times=3 200",
        "GET /close 200",
    ];
    let expected =
        expected.map(|line| format!("{} allowed", line.replacen(" /", &format!(" {url}/"), 1)));
    assert_eq!(ended.requests(), expected);
}

#[test]
fn capsule_http_does_what_it_says() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let ended = given(&LOCAL).run(
        "from capsule import http
def main(port):
    base = f'http://localhost:{port}'
    told = []
    answer = http.post(base + '/echo', json={'a': 'ü'}, headers={'X-Word': 'w'}, params={'q': 'a b'})
    echo = answer.json()
    told.append([answer.status_code, answer.ok(), echo['method'], echo['path'], echo['headers']['content-type'], echo['count']])
    told.append(http.put(base + '/echo', data={'a': 1}).json()['headers']['content-type'])
    told.append([http.request(m, base + '/echo').json()['method'] for m in ('PATCH', 'DELETE', 'OPTIONS')])
    answer = http.get(base + f'/redirect?to=http://127.0.0.1:{port}/hello', headers={'Authorization': 'secret'})
    told.append([answer.status_code, answer.text(), answer.url])
    answer = http.get(base + f'/redirect?to=http://127.0.0.1:{port}/echo', headers={'Authorization': 'secret'})
    told.append('authorization' in {k.lower() for k in answer.json()['headers']})
    answer = http.post(base + '/redirect?to=/echo&status=303', data=b'x')
    told.append([answer.json()['method'], answer.json()['count']])
    answer = http.post(base + '/redirect?to=/echo&status=307', data=b'xy')
    told.append([answer.json()['method'], answer.json()['count']])
    told.append(http.get(base + '/redirect?to=/x', follow_redirects=False).status_code)
    told.append([http.get(base + '/nowhere').status_code, http.get(base + '/nowhere').ok()])
    told.append(http.get(base + '/gzip').text() == 'pressed' * 1000)
    for call in (lambda: http.get(base + '/loop'), lambda: http.get(base + '/bytes?times=100', max_body_bytes=1000),
                 lambda: http.get('ftp://localhost/'), lambda: http.get(base + '/slow?seconds=9', timeout=0.3),
                 lambda: http.get('http://localhost:1/'), lambda: http.get(base + '/bomb'), lambda: http.get(base + '/short')):
        try:
            call()
        except Exception as error:
            told.append(f'{type(error).__name__}: {error}')
    return told
",
        &[json!(site.port)],
    );
    let port = site.port;
    let expected = json!([
        [200, true, "POST", "/echo?q=a+b", "application/json", 15],
        "application/x-www-form-urlencoded",
        ["PATCH", "DELETE", "OPTIONS"],
        [200, "hello", format!("http://127.0.0.1:{port}/hello")],
        false,
        ["GET", 0],
        ["POST", 2],
        302,
        [404, false],
        true,
        "HttpError: more than 10 redirects",
        format!(
            "HttpError: the body of http://localhost:{port}/bytes?times=100 is larger than 1000 bytes"
        ),
        "HttpError: not a URL with http or https: 'ftp://localhost/'",
        "TimeoutError: timed out",
        "HttpError: http://localhost:1/: [Errno 14] the host refused the connection",
        format!(
            "HttpError: the body of http://localhost:{port}/bomb is larger than 67108864 bytes"
        ),
        format!("HttpError: the body of http://localhost:{port}/short ended 91 bytes too early"),
    ]);
    assert_eq!(ended.value(), &expected);
}

#[test]
fn asyncio_streams_work_in_an_async_task_and_below_run() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let fetch = "import asyncio
async def fetch(port, path):
    reader, writer = await asyncio.open_connection('localhost', port)
    writer.write(f'GET {path} HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n'.encode())
    await writer.drain()
    head = await reader.readuntil(b'\\r\\n\\r\\n')
    body = await reader.read()
    writer.close()
    await writer.wait_closed()
    return [head.split(b'\\r\\n')[0].decode(), len(body)]
async def several(port):
    return await asyncio.gather(*(fetch(port, p) for p in ('/hello', '/bytes?times=1000', '/slow?seconds=0.2')))
";
    for main in [
        "async def main(port):\n    return await several(port)\n",
        "def main(port):\n    return asyncio.run(several(port))\n",
    ] {
        let ended = given(&LOCAL).run(&format!("{fetch}{main}"), &[json!(site.port)]);
        let expected =
            json!([["HTTP/1.1 200 OK", 5], ["HTTP/1.1 200 OK", 256_000], ["HTTP/1.1 200 OK", 7]]);
        assert_eq!(ended.value(), &expected);
        assert_eq!(ended.usage.requests.len(), 3);
    }
}

#[test]
fn a_hundred_megabytes_stream_in_constant_memory() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let source = "import urllib.request
def main(port, size):
    count = 0
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/big?size={size}') as answer:
        while part := answer.read(1 << 16):
            count += len(part)
            assert part[0] == 0 and part[-1] == 255
    return count
";
    let size = 100 << 20;
    let small = given(&["127.0.0.1"]).run(source, &[json!(site.port), json!(1 << 20)]);
    let started = Instant::now();
    let whole = given(&["127.0.0.1"])
        .with(|grant| grant.download = ByteSize::from_mib(101))
        .run(source, &[json!(site.port), json!(size)]);
    eprintln!("100 MB: {:?}, ram {} and {}", started.elapsed(), small.usage.ram, whole.usage.ram);
    assert_eq!(whole.value(), &json!(size));
    assert!(whole.usage.ram < small.usage.ram + (8 << 20), "{small:?} {whole:?}");
}

#[test]
fn a_large_upload_arrives_whole() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let ended = given(&["127.0.0.1"]).run(
        "import hashlib, http.client, json
def main(port):
    data = bytes(range(256)) * (4096 * 20)
    connection = http.client.HTTPConnection('127.0.0.1', port)
    connection.request('POST', '/echo', data)
    told = json.loads(connection.getresponse().read())
    return [told['count'] == len(data), told['sha256'] == hashlib.sha256(data).hexdigest()]
",
        &[json!(site.port)],
    );
    assert_eq!(ended.value(), &json!([true, true]));
}

#[test]
fn timeouts_of_sockets_hold_and_lose_no_byte() {
    if !has_runtime() {
        return;
    }
    let port = server(|mut stream| {
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|count| count == 1) {
            std::thread::sleep(Duration::from_millis(400));
            let _ = stream.write_all(&byte);
        }
    });
    let ended = given(&["127.0.0.1"]).run(
        "import select, socket, time
def main(port):
    sock = socket.create_connection(('127.0.0.1', port), timeout=0.1)
    told = []
    for byte in b'ab':
        sock.sendall(bytes([byte]))
        started = time.monotonic()
        try:
            sock.recv(10)
        except TimeoutError as error:
            told.append(str(error))
        told.append(time.monotonic() - started < 0.35)
        sock.settimeout(5)
        told.append(sock.recv(10).decode())
        sock.settimeout(0.1)
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError as error:
        told.append(type(error).__name__)
    told.append(len(select.select([sock], [], [], 0)[0]))
    sock.send(b'c')
    told.append(len(select.select([sock], [], [], 5)[0]))
    told.append(sock.recv(1).decode())
    sock.settimeout(5)
    sock.shutdown(socket.SHUT_WR)
    told.append(sock.recv(1).decode())
    told.append(sock.recv(1).decode())
    return told
",
        &[json!(port)],
    );
    let expected = json!([
        "timed out",
        true,
        "a",
        "timed out",
        true,
        "b",
        "BlockingIOError",
        0,
        1,
        "c",
        "",
        ""
    ]);
    assert_eq!(ended.value(), &expected);
    assert_eq!(ended.requests(), [format!("CONNECT 127.0.0.1:{port} - allowed")]);
}

#[test]
fn failures_are_the_exceptions_that_programs_expect() {
    if !has_runtime() {
        return;
    }
    let resets = server(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let ended = given(&["127.0.0.1", "nowhere.invalid"]).run(
        "import socket, capsule
def tried(work):
    try:
        return repr(work())
    except Exception as error:
        return f'{type(error).__name__} {isinstance(error, OSError)}'
def reset(port):
    sock = socket.create_connection(('127.0.0.1', port))
    sock.sendall(b'0123456789')
    return sock.recv(10)
def main(port):
    return [
        tried(lambda: socket.create_connection(('127.0.0.1', 1))),
        tried(lambda: socket.create_connection(('nowhere.invalid', 80))),
        tried(lambda: socket.create_connection(('evil.example', 80))),
        tried(lambda: reset(port)),
        tried(lambda: socket.socket().recv(1)),
        tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        tried(lambda: socket.create_server(('', 0))),
    ]
",
        &[json!(resets)],
    );
    let expected = json!([
        "ConnectionRefusedError True",
        "gaierror True",
        "DeniedError True",
        "ConnectionResetError True",
        "OSError True",
        "OSError True",
        "OSError True"
    ]);
    assert_eq!(ended.value(), &expected);
    let first = &ended.requests()[..3];
    let tried = [
        "CONNECT 127.0.0.1:1 - allowed",
        "CONNECT nowhere.invalid:80 - allowed",
        "CONNECT evil.example:80 - denied",
    ];
    assert_eq!(first, tried);
}

#[test]
fn a_denial_names_the_host_and_the_option() {
    if !has_runtime() {
        return;
    }
    let ended = given(&[]).run(
        "import urllib.request
def main():
    urllib.request.urlopen('http://api.example.com/')
",
        &[],
    );
    let Err(GuestError::Raised { message, .. }) = &ended.result else { panic!("{ended:?}") };
    let expected = "api.example.com:80 is not allowed; to allow it, set the task option allowed_hosts=[\"api.example.com\"]";
    assert_eq!(message, expected);
    assert_eq!(ended.requests(), ["CONNECT api.example.com:80 - denied"]);
}
