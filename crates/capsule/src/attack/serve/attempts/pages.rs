//! What a page in a browser on the same machine can make the browser send.

use std::io;

use serde_json::json;

use crate::attack::Family;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Pages;
const ORIGIN: &str = "http://evil.example";
const ALLOWED: Without = Without::Options(&["--allow-origin", ORIGIN]);
const CREATE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.create","params":{"template":"shell"}}"#;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "form-post",
        family: FAMILY,
        tries: "send calls as a form or plain text, which a browser does without asking",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: form_post,
    },
    Attempt {
        name: "foreign-origin",
        family: FAMILY,
        tries: "call methods, read files and numbers from pages of other origins",
        access: Access::Open,
        options: &[],
        without: ALLOWED,
        play: foreign_origin,
    },
    Attempt {
        name: "images-and-links",
        family: FAMILY,
        tries: "fetch paths as images, scripts and frames, which send no origin",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: images_and_links,
    },
    Attempt {
        name: "dns-rebinding",
        family: FAMILY,
        tries: "come by another name that leads to this machine",
        access: Access::Open,
        options: &[],
        without: Without::Options(&["--allow-host", "evil.example"]),
        play: dns_rebinding,
    },
    Attempt {
        name: "preflight",
        family: FAMILY,
        tries: "be told by the server that a page may send what it likes",
        access: Access::Open,
        options: &[],
        without: ALLOWED,
        play: preflight,
    },
    Attempt {
        name: "socket-hijack",
        family: FAMILY,
        tries: "open a terminal from a page, as no browser forbids",
        access: Access::Open,
        options: &[],
        without: ALLOWED,
        play: socket_hijack,
    },
    Attempt {
        name: "framed-page",
        family: FAMILY,
        tries: "show the server's page in a frame, or run code in it that is not its own",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: framed_page,
    },
    Attempt {
        name: "file-as-page",
        family: FAMILY,
        tries: "have a file of a sandbox shown as a page of the server",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: file_as_page,
    },
];

fn form_post(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    for kind in [
        "text/plain",
        "text/plain;charset=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonx",
        "text/json; application/json",
        "",
    ] {
        let headers = [("Content-Type", kind)];
        let headers = if kind.is_empty() { &headers[..0] } else { &headers[..] };
        let answer = scene.other.http("POST", "/rpc", headers, CREATE.as_bytes())?;
        tries.expect(kind, answer.status >= 400, format!("HTTP {}", answer.status));
    }
    let made = scene.mine.sandboxes()?;
    tries.expect("what came of it", made == 0, format!("{made} sandboxes were made"));
    Ok(())
}

fn foreign_origin(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let file = format!("/sandbox/{id}/files?path=/etc/hostname");
    let own = scene.mine.address.to_string();
    let after = format!("http://{own}.evil.example");
    let origins = [ORIGIN, "null", "http://localhost:1", "file://", &after, "http://127.0.0.1", ""];
    for origin in origins {
        let headers = [("Content-Type", "application/json"), ("Origin", origin)];
        let answer = scene.other.http("POST", "/rpc", &headers, CREATE.as_bytes())?;
        tries.expect(
            &format!("call from {origin:?}"),
            answer.status == 403,
            format!("HTTP {}", answer.status),
        );
        for path in [&*file, "/metrics", "/doctor", "/"] {
            let answer = scene.other.http("GET", path, &[("Origin", origin)], b"")?;
            tries.expect(
                &format!("GET {path} from {origin:?}"),
                answer.status == 403,
                format!("HTTP {}", answer.status),
            );
        }
    }
    let made = scene.mine.sandboxes()?;
    tries.expect("what came of it", made == 1, format!("{made} sandboxes, 1 is mine"));
    Ok(())
}

fn images_and_links(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let file = format!("/sandbox/{id}/files?path=/etc/hostname");
    for site in ["cross-site", "same-site", "anything"] {
        for path in [&*file, "/metrics", "/doctor", "/terminal/x", "/rpc"] {
            let headers = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "no-cors")];
            let answer = scene.other.http("GET", path, &headers, b"")?;
            tries.expect(
                &format!("{path} as {site}"),
                matches!(answer.status, 403 | 405),
                format!("HTTP {}", answer.status),
            );
        }
    }
    // A link may be followed to the page, and to nothing else.
    let followed = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let answer = scene.other.http("GET", &file, &followed, b"")?;
    tries.expect("a link to a file", answer.status == 403, format!("HTTP {}", answer.status));
    Ok(())
}

fn dns_rebinding(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let port = scene.mine.address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("evil.example@127.0.0.1:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("localhost.:{port}"),
        String::new(),
    ] {
        let headers = [("Content-Type", "application/json"), ("Host", &*host)];
        let answer = scene.other.http("POST", "/rpc", &headers, CREATE.as_bytes())?;
        tries.expect(&host, answer.status >= 400, format!("HTTP {}", answer.status));
    }
    // Two names, and a name in the first line that is not that of the header.
    let both =
        [("Content-Type", "application/json"), ("Host", "localhost"), ("Host", "evil.example")];
    let answer = scene.other.http("POST", "/rpc", &both, CREATE.as_bytes())?;
    tries.expect("two names", answer.status >= 400, format!("HTTP {}", answer.status));
    let made = scene.mine.sandboxes()?;
    tries.expect("what came of it", made == 0, format!("{made} sandboxes were made"));
    Ok(())
}

fn preflight(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    for origin in [ORIGIN, "null", "http://localhost:1"] {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        for (method, path) in [("OPTIONS", "/rpc"), ("OPTIONS", "/metrics"), ("GET", "/health")] {
            let answer = scene.other.http(method, path, &headers, b"")?;
            let named = answer.head.contains("access-control-allow-origin");
            let evidence = if named { "the page is named" } else { "no page is named" };
            tries.expect(&format!("{method} {path} for {origin}"), !named, evidence);
        }
    }
    Ok(())
}

fn socket_hijack(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    for path in
        [format!("/terminal/{id}"), format!("/sandbox/{id}/stream"), format!("/sandbox/{id}/exec")]
    {
        for origin in [ORIGIN, "null", "http://localhost:1"] {
            let (_socket, status) = scene.other.socket(&path, &[("Origin", origin)])?;
            tries.expect(&format!("{path} from {origin}"), status == 403, format!("HTTP {status}"));
        }
        let (_socket, status) = scene.other.socket(&path, &[("Sec-Fetch-Site", "cross-site")])?;
        tries.expect(&format!("{path} as cross-site"), status == 403, format!("HTTP {status}"));
    }
    let found = scene.mine.must("sandbox.v1.get", json!({ "id": id }))?;
    let running = found["processes"].as_u64().unwrap_or_default();
    tries.expect("what came of it", running == 0, format!("{running} shells run"));
    Ok(())
}

fn framed_page(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let page = scene.other.http("GET", "/", &[], b"")?;
    tries.need("the page", page.status == 200, format!("HTTP {}", page.status));
    for wanted in ["frame-ancestors 'none'", "default-src 'none'", "script-src 'self'"] {
        tries.expect(wanted, page.head.contains(wanted), "in the policy of the page");
    }
    for forbidden in ["unsafe-inline", "unsafe-eval", "script-src *"] {
        tries.expect(forbidden, !page.head.contains(forbidden), "not in it");
    }
    tries.expect(
        "nosniff",
        page.head.contains("x-content-type-options: nosniff"),
        "types are kept",
    );
    let text = page.text().to_ascii_lowercase();
    let foreign =
        text.contains("src=\"http") || text.contains("href=\"http") || text.contains("//cdn");
    tries.expect("other servers", !foreign, "the page names none");
    Ok(())
}

fn file_as_page(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let html = b"<!doctype html><script>fetch('/rpc')</script>";
    for name in ["a.html", "a.svg", "a.js", "a.xhtml", "a"] {
        let path = format!("/sandbox/{id}/files?path={name}");
        let put = scene.mine.http("PUT", &path, &[], html)?;
        tries.need(name, put.status == 200, format!("HTTP {}", put.status));
        let answer = scene.mine.http("GET", &path, &[], b"")?;
        let head = &answer.head;
        let is_inert = head.contains("content-disposition: attachment")
            && head.contains("x-content-type-options: nosniff")
            && !head.contains("content-type: text/html")
            && !head.contains("svg");
        tries.expect(name, is_inert, "it is saved, not shown");
    }
    Ok(())
}
