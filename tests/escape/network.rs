//! The network: none, the host's, or one door with a guard.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use capsule_tests::{
    Caller, Finished, Run, Scratch, Server, answer, found_on_path, redirect, skip, wall_stands,
};
use serde_json::json;

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

/// Connects, and prints what came of it.
fn connect(address: &str, port: u16) -> String {
    format!(
        "import errno, socket\n\
         try: socket.create_connection(('{address}', {port}), 5); print('connected')\n\
         except OSError as error: print(errno.errorcode.get(error.errno, error))"
    )
}

/// `curl` inside, with these options of the jail.
fn curl(flags: &[&str], arguments: &[&str], caller: Caller) -> Finished {
    let command = ["--", "curl", "--silent", "--show-error", "--max-time", "30"];
    Run::new(&[flags, &command, arguments].concat()).caller(caller).finish()
}

fn has_curl() -> bool {
    let found = found_on_path("curl").is_some();
    if !found {
        skip("no curl in the system directories");
    }
    found
}

#[test]
fn there_is_no_network_by_default() {
    let server = Server::start(|_| answer("reached"));
    for caller in CALLERS {
        let run = Run::python(&[], &connect("127.0.0.1", server.port())).caller(caller).finish();
        assert_eq!(run.text(), "ECONNREFUSED\n");
        // Documentation addresses (RFC 5737, RFC 3849): never anybody's.
        for address in ["192.0.2.1", "169.254.169.254", "2001:db8::1"] {
            let run = Run::python(&[], &connect(address, 80)).caller(caller).finish();
            assert_eq!(run.text(), "ENETUNREACH\n", "{address}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn loopback_is_the_guests_own() {
    let script = "import socket\n\
        s = socket.create_server(('127.0.0.1', 8080)); c = \
        socket.create_connection(('localhost', 8080))\n\
        s.accept()[0].send(b'hello'); print(c.recv(9).decode())\n\
        print([name for _, name in socket.if_nameindex()])";
    for caller in CALLERS {
        let run = Run::python(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "hello\n['lo']\n");
    }
}

#[test]
fn names_cannot_be_looked_up_without_a_network() {
    let script = "import socket\n\
        try: print(socket.getaddrinfo('example.org', 80))\n\
        except socket.gaierror: print('no')\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        try: s.sendto(b'x', ('192.0.2.53', 53)); print('sent')\n\
        except OSError as error: print(error.strerror)";
    for flags in [&[][..], &["--allow-host", "example.org"]] {
        let run = Run::python(flags, script).finish().ended_with(0);
        assert_eq!(run.text(), "no\nNetwork is unreachable\n", "{flags:?}");
    }
}

#[test]
fn an_open_network_is_the_hosts() {
    let server = Server::start(|_| answer("reached"));
    for caller in CALLERS {
        let script = connect("127.0.0.1", server.port());
        let run = Run::python(&["--network"], &script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "connected\n");
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn unusual_sockets_are_refused() {
    let script = "import errno, socket\n\
        for name in ('AF_VSOCK', 'AF_PACKET', 'AF_ALG', 'AF_BLUETOOTH', 'AF_NETLINK', 'AF_TIPC'):\n\
        \x20   family = getattr(socket, name, None)\n\
        \x20   kind = socket.SOCK_RAW if name in ('AF_PACKET',) else socket.SOCK_STREAM if name \
        in ('AF_VSOCK',) else socket.SOCK_SEQPACKET\n\
        \x20   try: socket.socket(family, kind); print(name)\n\
        \x20   except (OSError, TypeError): pass\n\
        try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('raw')\n\
        except OSError: pass";
    for flags in [&[][..], &["--network"]] {
        for caller in CALLERS {
            let run = Run::python(flags, script).caller(caller).finish().ended_with(0);
            assert_eq!(run.text(), "", "{flags:?}");
        }
    }
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    let name = format!("capsule-test-{}", std::process::id());
    let listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let script = format!(
        "import errno, socket\n\
         try: socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('connected')\n\
         except OSError as error: print(errno.errorcode[error.errno])"
    );
    for caller in CALLERS {
        let run = Run::python(&[], &script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "ECONNREFUSED\n");
        if wall_stands("scope") {
            let run = Run::python(&["--network"], &script).caller(caller).finish().ended_with(0);
            assert_eq!(run.text(), "EPERM\n");
        }
    }
    assert!(listener.accept().is_err());
}

#[test]
fn the_door_lets_allowed_hosts_through() {
    if !has_curl() {
        return;
    }
    let server = Server::start(|path| answer(&format!("got {path}")));
    let address = server.address();
    let url = format!("http://{address}/page");
    for caller in CALLERS {
        for rule in [address.as_str(), "127.0.0.1"] {
            let run = curl(&["--allow-host", rule], &[&url], caller).ended_with(0);
            assert_eq!(run.text(), "got /page", "{rule}");
        }
        // A tunnel by CONNECT is the same door.
        let run = curl(&["--allow-host", &address], &["--proxytunnel", &url], caller);
        assert_eq!(run.ended_with(0).text(), "got /page");
    }
}

#[test]
fn the_door_refuses_others_with_a_hint() {
    if !has_curl() {
        return;
    }
    let (allowed, denied) = (Server::start(|_| answer("a")), Server::start(|_| answer("d")));
    let url = format!("http://{}/", denied.address());
    for caller in CALLERS {
        for tunnel in [&[][..], &["--proxytunnel"]] {
            let arguments = [tunnel, &["--include", &url]].concat();
            let run = curl(&["--allow-host", &allowed.address()], &arguments, caller);
            let said = format!("{}{}", run.text(), run.errors());
            assert!(said.contains("403"), "{run}");
            if tunnel.is_empty() {
                let hint = format!("hint: --allow-host {}", denied.address());
                assert!(run.text().contains("X-Capsule-Error: E5002"), "{run}");
                assert!(run.text().contains(&hint), "{run}");
            } else {
                // A tunnel that does not open fails curl, and so the run.
                assert_eq!(run.error_code().as_deref(), Some("E5002"), "{run}");
            }
        }
        // A failure that follows a refusal is told as one.
        let run = curl(&["--allow-host", &allowed.address()], &["--fail", &url], caller);
        let run = run.ended_with(22);
        assert_eq!(run.error_code().as_deref(), Some("E5002"), "{run}");
    }
    assert_eq!((allowed.connections(), denied.connections()), (0, 0));
}

#[test]
fn the_door_refuses_redirects_to_others() {
    if !has_curl() {
        return;
    }
    let denied = Server::start(|_| answer("secret"));
    let target = format!("http://{}/secret", denied.address());
    let allowed = Server::start(move |_| redirect(&target));
    for caller in CALLERS {
        let url = format!("http://{}/", allowed.address());
        let flags = ["--allow-host", &allowed.address()];
        let run = curl(&flags, &["--location", "--fail", &url], caller).ended_with(22);
        assert_eq!(run.error_code().as_deref(), Some("E5002"), "{run}");
        assert!(!run.text().contains("secret"), "{run}");
    }
    assert_eq!(denied.connections(), 0);
    assert_eq!(allowed.connections(), 2);
}

#[test]
fn inside_addresses_must_be_named() {
    if !has_curl() {
        return;
    }
    let server = Server::start(|_| answer("reached"));
    let port = server.port();
    for host in [
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        "169.254.169.254".to_owned(),
        "10.0.0.1".to_owned(),
        "192.168.0.1".to_owned(),
        "[::1]".to_owned(),
        "[::ffff:127.0.0.1]".to_owned(),
        "0.0.0.0".to_owned(),
    ] {
        let url = format!("http://{host}:{port}/");
        let flags = [
            "--allow-host",
            "*",
            "--allow-host",
            "localhost",
            "-e",
            "no_proxy=",
            "-e",
            "NO_PROXY=",
        ];
        let run = curl(&flags, &["--fail", &url], Caller::Current);
        assert_eq!(run.error_code().as_deref(), Some("E5002"), "{host}: {run}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn odd_spellings_of_an_address_do_not_slip_through() {
    let server = Server::start(|_| answer("reached"));
    let port = server.port();
    // Written by hand: clients would tidy them up.
    let script = format!(
        "import socket\n\
         for host in ('127.1', '2130706433', '0x7f000001', '0177.0.0.1', '127.0.0.1.', \
         'localhost.', '[::ffff:7f00:1]', '%31%32%37.0.0.1'):\n\
         \x20   for request in (f'GET http://{{host}}:{port}/ HTTP/1.1\\r\\nHost: \
         {{host}}\\r\\n\\r\\n',\n\
         \x20                   f'CONNECT {{host}}:{port} HTTP/1.1\\r\\nHost: \
         {{host}}\\r\\n\\r\\n'):\n\
         \x20       s = socket.create_connection(('127.0.0.1', 3128)); s.send(request.encode())\n\
         \x20       print(s.recv(12).decode()[9:12]); s.close()\n"
    );
    let run = Run::python(&["--allow-host", "*"], &script).finish().ended_with(0);
    assert_eq!(run.text().lines().count(), 16, "{run}");
    for status in run.text().lines() {
        assert!(["400", "403", "502"].contains(&status), "{run}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_host_header_does_not_open_the_door() {
    let (allowed, denied) = (Server::start(|_| answer("a")), Server::start(|_| answer("d")));
    let script = format!(
        "import socket\n\
         s = socket.create_connection(('127.0.0.1', 3128))\n\
         s.send(b'GET http://{denied}/ HTTP/1.1\\r\\nHost: {allowed}\\r\\n\\r\\n')\n\
         print(s.recv(12).decode()[9:12])",
        denied = denied.address(),
        allowed = allowed.address()
    );
    let run = Run::python(&["--allow-host", &allowed.address()], &script).finish().ended_with(0);
    assert_eq!(run.text(), "403\n");
    assert_eq!(denied.connections(), 0);
}

#[test]
fn the_door_is_the_only_way_out() {
    let server = Server::start(|_| answer("reached"));
    for caller in CALLERS {
        // Even to the host that is allowed: not past the proxy.
        let flags = ["--allow-host", &server.address()];
        let run = Run::python(&flags, &connect("127.0.0.1", server.port())).caller(caller).finish();
        assert_eq!(run.text(), "ECONNREFUSED\n");
        let run = Run::python(&flags, &connect("192.0.2.1", 80)).caller(caller).finish();
        assert_eq!(run.text(), "ENETUNREACH\n");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn proxy_variables_are_set_only_with_a_door() {
    let script = "env | grep -ic proxy";
    assert_eq!(Run::shell(&[], script).finish().text(), "0\n");
    assert_eq!(Run::shell(&["--network"], script).finish().text(), "0\n");
    let run =
        Run::shell(&["--allow-host", "example.org"], "echo $http_proxy $HTTPS_PROXY $no_proxy");
    assert_eq!(
        run.finish().text(),
        "http://127.0.0.1:3128 http://127.0.0.1:3128 localhost,127.0.0.1,::1\n"
    );
}

#[test]
fn connections_are_told_in_verbose_and_denials_in_json() {
    if !has_curl() {
        return;
    }
    let (allowed, denied) = (Server::start(|_| answer("a")), Server::start(|_| answer("d")));
    let (good, bad) =
        (format!("http://{}/", allowed.address()), format!("http://{}/", denied.address()));
    let run = curl(&["-v", "--allow-host", &allowed.address()], &[&good, &bad], Caller::Current);
    assert!(run.errors().contains(&format!("capsule: connected {}\n", allowed.address())), "{run}");
    assert!(run.errors().contains(&format!("capsule: refused {}\n", denied.address())), "{run}");
    let command = format!("curl -sf {bad}; curl -sf {bad}");
    let request = json!({"command": ["sh", "-c", command],
                         "isolation": {"allowed_hosts": [allowed.address()]}});
    let error = Run::json(&request).finish().json()["error"].clone();
    assert_eq!(error["code"], "E5002");
    assert_eq!(error["details"]["host"], denied.address());
    assert_eq!(error["details"]["denials"], "2");
}

#[test]
fn large_bodies_pass_the_door_whole() {
    if !has_curl() {
        return;
    }
    let server = Server::start(|_| answer(&"0123456789abcdef".repeat(1 << 19)));
    let url = format!("http://{}/", server.address());
    let script = format!("curl -s {url} | sha256sum; curl -s -p {url} | wc -c");
    let run = Run::shell(&["--allow-host", &server.address()], &script).finish().ended_with(0);
    let inside: Vec<&str> = run.text().lines().collect();
    assert_eq!(inside[1], (16 << 19).to_string());
    let outside =
        Run::shell(&[], "yes 0123456789abcdef | head -524288 | tr -d '\\n' | sha256sum").finish();
    assert_eq!(inside[0], outside.text().trim());
}

#[test]
fn git_clones_through_the_door() {
    if found_on_path("git").is_none() {
        return skip("no git in the system directories");
    }
    let scratch = Scratch::new();
    let make = "cd \"$1\" && git init -q work && cd work && echo hello > file && git add file && \
        git -c user.name=a -c user.email=a@b.c commit -qm first && cd .. && \
        git clone -q --bare work served.git && git -C served.git update-server-info";
    let made =
        std::process::Command::new("sh").args(["-c", make, "sh", scratch.text()]).status().unwrap();
    assert!(made.success());
    let server = Server::of_files(scratch.path());
    let url = format!("http://{}/served.git", server.address());
    for caller in CALLERS {
        let script =
            format!("git clone -q {url} copy && cat copy/file && git -C copy log --format=%s");
        let run = Run::shell(&["--allow-host", &server.address()], &script).caller(caller).finish();
        assert_eq!(run.ended_with(0).text(), "hello\nfirst\n");
    }
    let run = Run::new(&[
        "--allow-host",
        "192.0.2.1",
        "-e",
        "no_proxy=",
        "--",
        "git",
        "clone",
        "-q",
        &url,
        "copy",
    ]);
    let run = run.finish().ended_with(128);
    assert_eq!(run.error_code().as_deref(), Some("E5002"), "{run}");
    assert!(run.errors().contains("403"), "git does not tell the reason: {run}");
}

#[test]
fn the_door_ends_with_the_run() {
    let server = Server::start(|_| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        answer("late")
    });
    let url = format!("http://{}/", server.address());
    if !has_curl() {
        return;
    }
    // A connection in the middle of it; the audit looks for the door's process.
    let run = Run::new(&["-t", "1s", "--allow-host", &server.address(), "--", "curl", "-s", &url]);
    let run = run.finish().ended_with(124);
    assert!(run.took < std::time::Duration::from_secs(20), "{run}");
}
