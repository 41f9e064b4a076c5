//! The page and the doctor, from outside: who gets them, and with which rules.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capsule_server::{Doctor, Server, create_key};
use serde_json::json;
use tokio::sync::oneshot;

use super::Own;
use crate::suite::client::Site;
use crate::support::Folders;

/// A server that somebody looks at the host for.
fn with_doctor(data: &Path, doctor: Doctor) -> Own {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let backend = Arc::new(Folders::default());
    let start = Server::start(crate::settings(data), |_| Ok(backend), crate::templates());
    let server = threads.block_on(start).unwrap().with_doctor(doctor);
    let address = server.address().strip_prefix("http://").unwrap().parse().unwrap();
    let (stop, stopped) = oneshot::channel();
    let run = threads.spawn(server.run(async {
        let _ = stopped.await;
    }));
    Own { site: Site::new(address), threads: Some(threads), stop: Some(stop), run: Some(run) }
}

/// Where the page's files say that they need others.
fn named_in(html: &str) -> Vec<&str> {
    let parts = html.split(['"', '\'']);
    parts.filter(|part| part.starts_with("assets/")).collect()
}

#[test]
fn the_page_comes_with_its_rules() {
    let data = tempfile::tempdir().unwrap();
    create_key(&data.path().join("data"), "one").unwrap();
    // Also without a key, which is asked for in the page.
    let own = Own::start(data.path(), &Arc::default(), |settings| settings.require_key = true);
    let site = &own.site;
    let page = site.http("GET", "/", &[], b"");
    let html = String::from_utf8(page.body.clone()).unwrap();
    let mut paths: Vec<_> = named_in(&html).into_iter().map(|name| format!("/{name}")).collect();
    assert!(paths.len() > 3);
    paths.push("/".to_owned());
    for path in paths {
        let answer = site.http("GET", &path, &[], b"");
        assert_eq!(answer.status, 200, "{path}");
        let head = answer.head.to_ascii_lowercase();
        for line in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cross-origin-opener-policy: same-origin\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "cache-control: no-cache\r\n",
        ] {
            assert!(format!("{head}\r\n").contains(line), "{path}: {line} in {head}");
        }
        assert!(!head.contains("access-control-allow"), "{path}");
        let tag = head.split("etag: ").nth(1).unwrap().split("\r\n").next().unwrap();
        for known in [tag.to_owned(), format!("\"x\", W/{tag}")] {
            let again = site.http("GET", &path, &[("If-None-Match", &known)], b"");
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        }
        assert_eq!(site.http("GET", &path, &[("If-None-Match", "\"x\"")], b"").status, 200);
        assert_eq!(site.http("POST", &path, &[], b"").status, 401, "{path}");
        assert_eq!(site.http("GET", &path, &[("Host", "attacker.example")], b"").status, 200);
    }
    for path in ["/doctor", "/metrics", "/assets/nothing.js", "/assets/../rpc", "/index.html"] {
        assert_eq!(site.http("GET", path, &[], b"").status, 401, "{path}");
    }
    own.stop();
}

#[test]
fn on_loopback_other_pages_do_not_get_it() {
    let data = tempfile::tempdir().unwrap();
    let own = Own::start(data.path(), &Arc::default(), |_| {});
    let cross = ("Sec-Fetch-Site", "cross-site");
    let (goes, there) = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"));
    for (headers, status) in [
        (vec![], 200),
        (vec![cross, goes, there], 200),
        (vec![cross, goes, ("Sec-Fetch-Dest", "iframe")], 403),
        (vec![cross, ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")], 403),
        (vec![cross, goes, there, ("Origin", "http://attacker.example")], 403),
        (vec![cross, goes, there, ("Host", "attacker.example")], 403),
        (vec![("Host", "attacker.example")], 403),
    ] {
        assert_eq!(own.site.http("GET", "/", &headers, b"").status, status, "{headers:?}");
    }
    assert_eq!(own.site.http("POST", "/", &[], b"").status, 405);
    // What holds for the page holds for nothing else.
    let answer = own.site.http("GET", "/metrics", &[cross, goes, there], b"");
    assert_eq!(answer.status, 403);
    own.stop();
}

#[test]
fn the_doctor_looks_once_for_all_who_ask() {
    let data = tempfile::tempdir().unwrap();
    let looked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&looked);
    let own = with_doctor(
        data.path(),
        Box::new(move || {
            let count = Arc::clone(&count);
            Box::pin(async move {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok("{\"backends\":[]}".to_owned())
            })
        }),
    );
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let answer = own.site.http("GET", "/doctor", &[], b"");
                assert_eq!((answer.status, answer.json()), (200, json!({ "backends": [] })));
            });
        }
        // Those who do not wait for the answer begin no further look.
        for _ in 0..20 {
            scope.spawn(|| {
                use std::io::Write;
                let head = own.site.head("GET", "/doctor", &[]);
                own.site.connect().write_all(head.as_bytes()).unwrap();
            });
        }
    });
    assert_eq!(looked.load(Ordering::SeqCst), 1);
    let foreign = [("Origin", "http://attacker.example")];
    assert_eq!(own.site.http("GET", "/doctor", &foreign, b"").status, 403);
    assert_eq!(own.site.http("POST", "/doctor", &[], b"").status, 405);
    own.stop();
}

#[test]
fn without_a_doctor_there_is_nothing() {
    let data = tempfile::tempdir().unwrap();
    let own = Own::start(data.path(), &Arc::default(), |_| {});
    assert_eq!(own.site.http("GET", "/doctor", &[], b"").status, 404);
    own.stop();
}
