//! HTTP without TLS.

use serde_json::json;

use crate::support::{Site, given};

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn urllib_reads_a_page() {
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
