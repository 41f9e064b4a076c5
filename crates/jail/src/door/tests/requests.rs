//! The request parser: tables of what must not get through, and any bytes at all.

use proptest::prelude::*;

use super::super::head::HeadError;
use super::super::request::{Kind, Request};

fn parse(text: &str) -> Result<(String, String), HeadError> {
    let request = Request::parse(text.as_bytes())?;
    let head = match request.kind {
        Kind::Page { head, .. } => String::from_utf8(head).unwrap(),
        Kind::Tunnel => String::new(),
    };
    Ok((request.authority.to_string(), head))
}

fn host_of(target: &str) -> Result<String, HeadError> {
    parse(&format!("GET http://{target}/ HTTP/1.1\r\n\r\n")).map(|(authority, _)| authority)
}

#[test]
fn odd_spellings_of_addresses_are_refused() {
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0X7F.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "127.0.0.256",
        "1.2.3.4.5",
        "127.0.0.0x1",
        "0",
        "0x",
        "example.1",
        "example.0x7f",
        "[::1%lo]",
        "[::1%25lo]",
        "[fe80::1%eth0]",
        "[::1",
        "::1",
        "[127.0.0.1]",
        "[]",
        "",
        "127。0。0。1",
        "１２７.0.0.1",
        "exa mple",
        "a..b",
        ".a",
        "a%2eb",
        "*",
        "-a.org",
        "a\\b",
        "a,b",
        "localhost%00",
    ] {
        assert!(host_of(host).is_err(), "{host}");
        assert!(host_of(&format!("{host}:80")).is_err(), "{host}");
    }
}

#[test]
fn plain_hosts_are_brought_to_one_form() {
    for (host, authority) in [
        ("Example.ORG", "example.org:80"),
        ("example.org.", "example.org:80"),
        ("example.org:8080", "example.org:8080"),
        ("10.1.2.3", "10.1.2.3:80"),
        ("[::1]:81", "[::1]:81"),
        ("[0:0::1]", "[::1]:80"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]:80"),
    ] {
        assert_eq!(host_of(host).as_deref(), Ok(authority));
    }
}

#[test]
fn bad_ports_and_targets_are_refused() {
    for (target, why) in [
        ("GET http://a.org:0/ HTTP/1.1", HeadError::Port),
        ("GET http://a.org:65536/ HTTP/1.1", HeadError::Port),
        ("GET http://a.org:/ HTTP/1.1", HeadError::Port),
        ("GET http://a.org:+80/ HTTP/1.1", HeadError::Port),
        ("GET http://a.org:80:81/ HTTP/1.1", HeadError::Port),
        ("GET http://u:p@a.org/ HTTP/1.1", HeadError::UserInfo),
        ("GET http://a.org@b.org/ HTTP/1.1", HeadError::UserInfo),
        ("GET http://a.org?x HTTP/1.1", HeadError::Host),
        ("GET http://a.org/#b HTTP/1.1", HeadError::Fragment),
        ("GET https://a.org/ HTTP/1.1", HeadError::Scheme),
        ("GET ftp://a.org/ HTTP/1.1", HeadError::Scheme),
        ("GET / HTTP/1.1", HeadError::NotAbsolute),
        ("GET http:/a.org HTTP/1.1", HeadError::NotAbsolute),
        ("CONNECT a.org HTTP/1.1", HeadError::Port),
        ("CONNECT http://a.org:80 HTTP/1.1", HeadError::Port),
        ("GET http://a.org/ HTTP/2", HeadError::Version),
        ("GET http://a.org/ HTTP/1.2", HeadError::Version),
        ("GET http://a.org/ HTTP/1.1 x", HeadError::StartLine),
        ("GET  http://a.org/ HTTP/1.1", HeadError::StartLine),
        ("GET\thttp://a.org/\tHTTP/1.1", HeadError::StartLine),
        (" GET http://a.org/ HTTP/1.1", HeadError::StartLine),
        ("GET http://a.org/", HeadError::StartLine),
        ("G(T http://a.org/ HTTP/1.1", HeadError::StartLine),
        ("", HeadError::StartLine),
    ] {
        assert_eq!(parse(&format!("{target}\r\n\r\n")), Err(why), "{target}");
    }
}

#[test]
fn smuggling_is_refused() {
    for (fields, why) in [
        ("Content-Length: 1\r\nContent-Length: 1", HeadError::Length),
        ("Content-Length: 1\r\nContent-Length: 2", HeadError::Length),
        ("Content-Length: 1, 1", HeadError::Length),
        ("Content-Length: +1", HeadError::Length),
        ("Content-Length: -1", HeadError::Length),
        ("Content-Length: 0x1", HeadError::Length),
        ("Content-Length: 1 1", HeadError::Length),
        ("Content-Length:", HeadError::Length),
        ("Content-Length: 18446744073709551616", HeadError::Length),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", HeadError::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\ncontent-length: 1", HeadError::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HeadError::Encoding),
        ("Transfer-Encoding: gzip, chunked", HeadError::Encoding),
        ("Transfer-Encoding: chunked, identity", HeadError::Encoding),
        ("Transfer-Encoding: xchunked", HeadError::Encoding),
        ("Transfer-Encoding: identity", HeadError::Encoding),
        ("Transfer-Encoding: \"chunked\"", HeadError::Encoding),
        ("Transfer-Encoding : chunked", HeadError::FieldName),
        ("Transfer Encoding: chunked", HeadError::FieldName),
        ("Transfer-Encoding\u{a0}: chunked", HeadError::FieldName),
        ("Transfer-Encoding: \u{b}chunked", HeadError::ControlByte),
        ("X: a\r\n Transfer-Encoding: chunked", HeadError::FoldedField),
        ("X: a\r\n\tb", HeadError::FoldedField),
        (" X: a", HeadError::FoldedField),
        ("X: a\nY: b", HeadError::BareLineEnd),
        ("X: a\rY: b", HeadError::BareLineEnd),
        ("X: a\r\r\nY: b", HeadError::BareLineEnd),
        ("X: a\0b", HeadError::ControlByte),
        ("X\0: a", HeadError::ControlByte),
        (": a", HeadError::FieldName),
        ("no colon", HeadError::FieldName),
        ("Host: a.org\r\nHost: a.org", HeadError::TwoHosts),
    ] {
        let text = format!("POST http://a.org/ HTTP/1.1\r\n{fields}\r\n\r\n");
        assert_eq!(parse(&text), Err(why), "{fields:?}");
    }
    let old = "POST http://a.org/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parse(old), Err(HeadError::Encoding));
    let tunnel = "CONNECT a.org:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(parse(tunnel), Err(HeadError::TunnelBody));
}

#[test]
fn the_head_for_the_origin_has_the_checked_host_and_no_fields_of_the_connection() {
    let (_, head) = parse(
        "POST http://A.org:8080/p?q HTTP/1.1\r\nHost: evil.org\r\nAccept: */*\r\n\
         Connection: keep-alive, X-Hop, Content-Length, Host\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\nTE: trailers\r\n\
         Upgrade: h2c\r\nContent-Length: 007\r\n\r\n",
    )
    .unwrap();
    assert_eq!(
        head,
        "POST /p?q HTTP/1.1\r\nHost: a.org:8080\r\nAccept: */*\r\nContent-Length: 7\r\n\r\n"
    );
    let (_, head) = parse("GET http://a.org HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(head, "GET / HTTP/1.0\r\nHost: a.org\r\n\r\n");
    let (_, head) = parse("OPTIONS http://[::1] HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(head, "OPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Request::parse(&bytes);
        let _ = Request::parse(&[&bytes[..], b"\r\n\r\n"].concat());
        let _ = Request::parse(&[b"GET http://", &bytes[..], b" HTTP/1.1\r\n\r\n"].concat());
        let _ = Request::parse(&[b"GET http://a.org/ HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat());
    }

    /// What goes to the origin reads back as one message with the same framing.
    #[test]
    fn a_rewritten_head_is_one_head(
        path in "/[!-~]{0,20}",
        fields in proptest::collection::vec(
            ("(Connection|Content-Length|Transfer-Encoding|Host|X|TE|[a-z-]{1,8})",
             "(chunked|close|[0-9]{1,4}|host|content-length|[ -~]{0,12})"), 0..6),
    ) {
        let mut text = format!("POST http://a.org{path} HTTP/1.1\r\n");
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        if let Ok((_, head)) = parse(&text) {
            prop_assert_eq!(head.find("\r\n\r\n"), Some(head.len() - 4));
            prop_assert_eq!(head.matches("\r\nHost: ").count(), 1);
            let again = head.replacen("POST /", "POST http://a.org/", 1);
            prop_assert_eq!(parse(&again).unwrap().1, head);
        }
    }
}
