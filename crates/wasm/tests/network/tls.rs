//! TLS, spoken by the host: who is trusted, and with whom it is spoken.

use serde_json::json;

use crate::support::{Certificate, Site, given, has_runtime, with_authority};

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn the_standard_library_speaks_https() {
    if !has_runtime() {
        return;
    }
    let Some(certificate) = with_authority("DNS:localhost,IP:127.0.0.1") else { return };
    let site = Site::tls(&certificate);
    let ended = given(&LOCAL).run(
        "import asyncio, http.client, json, socket, ssl, urllib.request
from capsule import http
async def stream(port):
    reader, writer = await asyncio.open_connection('localhost', port, ssl=True)
    writer.write(f'GET /bytes?times=500 HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n'.encode())
    head = await reader.readuntil(b'\\r\\n\\r\\n')
    body = await reader.read()
    writer.close()
    return len(body)
def main(port):
    told = []
    told.append(urllib.request.urlopen(f'https://localhost:{port}/hello').read().decode())
    told.append(urllib.request.urlopen(f'https://127.0.0.1:{port}/hello').read().decode())
    told.append(http.get(f'https://localhost:{port}/redirect?to=/hello').text())
    connection = http_client = __import__('http.client').client.HTTPSConnection('localhost', port)
    for _ in range(3):
        connection.request('POST', '/echo', bytes(1_000_000))
        told.append(json.loads(connection.getresponse().read())['count'])
    told.append(asyncio.run(stream(port)))
    with socket.create_connection(('localhost', port)) as sock:
        with ssl.create_default_context().wrap_socket(sock, server_hostname='localhost') as secured:
            secured.sendall(b'GET /hello HTTP/1.0\\r\\n\\r\\n')
            told.append(secured.makefile('rb').read().endswith(b'hello'))
    return told
",
        &[json!(site.port)],
    );
    let expected =
        json!(["hello", "hello", "hello", 1_000_000, 1_000_000, 1_000_000, 128_000, true]);
    assert_eq!(ended.value(), &expected);
    let requests = ended.requests();
    assert_eq!(requests[0], format!("GET https://localhost:{}/hello 200 allowed", site.port));
    assert_eq!(requests.len(), 9);
    assert!(
        requests.iter().all(|line| line.contains(" https://") && line.ends_with(" allowed")),
        "{requests:?}"
    );
}

/// Asks three times: as is, with a context that does not verify, and by plain HTTP.
const ASKS: &str = "import ssl, urllib.request, urllib.error
def main(host, port):
    told = []
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    for context in (None, lax, ssl._create_unverified_context()):
        try:
            told.append(urllib.request.urlopen(f'https://{host}:{port}/hello', context=context).read().decode())
        except urllib.error.URLError as error:
            told.append(f'{type(error.reason).__name__}: {error.reason}')
    return told
";

#[test]
fn a_certificate_for_another_name_is_refused() {
    if !has_runtime() {
        return;
    }
    let Some(certificate) = with_authority("DNS:other.example") else { return };
    let site = Site::tls(&certificate);
    let ended = given(&LOCAL).run(ASKS, &[json!("localhost"), json!(site.port)]);
    let told = ended.value().as_array().unwrap();
    let first = told[0].as_str().unwrap();
    assert!(
        first.starts_with("SSLCertVerificationError: ") && first.contains("localhost is not valid"),
        "{first}"
    );
    assert_eq!(told[1..], [json!("hello"), json!("hello")]);
}

#[test]
fn an_unknown_authority_is_refused_unless_the_guest_does_not_verify() {
    if !has_runtime() {
        return;
    }
    let foreign = Certificate::make("DNS:localhost");
    let site = Site::tls(&foreign);
    let ended = given(&LOCAL).run(ASKS, &[json!("localhost"), json!(site.port)]);
    let told = ended.value().as_array().unwrap();
    let first = told[0].as_str().unwrap();
    assert!(first.starts_with("SSLCertVerificationError: "), "{first}");
    assert_eq!(told[1..], [json!("hello"), json!("hello")]);

    // Not to verify opens no host.
    let ended = given(&["other.example"]).run(ASKS, &[json!("localhost"), json!(site.port)]);
    for told in ended.value().as_array().unwrap() {
        assert!(told.as_str().unwrap().starts_with("DeniedError: localhost:"), "{told}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_a_tls_error() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let ended = given(&LOCAL).run(ASKS, &[json!("localhost"), json!(site.port)]);
    let told = ended.value()[0].as_str().unwrap();
    assert!(told.starts_with("SSLError: "), "{told}");
}
