//! Components.

use capsule_spec::{ErrorCode, Status};

use crate::place::{Place, RUNS, code, component, run};

#[test]
fn components_run_too() {
    let place = Place::new();
    for (result, expected) in [(0, (Status::Success, Some(0))), (1, (Status::Error, Some(1)))] {
        let text = component(&format!("(func (export \"run\") (result i32) (i32.const {result}))"));
        let outcome = run(&place.program(&text));
        assert_eq!((outcome.status, outcome.exit_code), expected, "{outcome:?}");
    }
    let crash = component("(func (export \"run\") (result i32) unreachable)");
    let outcome = run(&place.program(&crash));
    assert_eq!((outcome.status, code(&outcome)), (Status::Killed, Some(ErrorCode::Crashed)));
}

#[test]
fn much_randomness_is_refused() {
    let place = Place::new();
    let asking = |bytes: u64| {
        format!(
            "(component
        (import \"wasi:random/random@0.2.0\" (instance $r
            (export \"get-random-bytes\" (func (param \"len\" u64) (result (list u8))))))
        (core module $libc (memory (export \"memory\") 1)
            (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
        (core instance $libc (instantiate $libc))
        (core func $get (canon lower (func $r \"get-random-bytes\")
            (memory (core memory $libc \"memory\"))
            (realloc (core func $libc \"realloc\"))))
        (core module $m (import \"x\" \"get\" (func $get (param i64 i32)))
            (func (export \"run\") (result i32)
                (call $get (i64.const {bytes}) (i32.const 0)) (i32.const 0)))
        (core instance $i (instantiate $m (with \"x\" (instance (export \"get\" (func $get))))))
        {RUNS})"
        )
    };
    assert_eq!(run(&place.program(&asking(64))).exit_code, Some(0));
    let outcome = run(&place.program(&asking(9_000_000_000_000)));
    assert_eq!(code(&outcome), Some(ErrorCode::Crashed), "{outcome:?}");
}

#[test]
fn sockets_are_refused() {
    let place = Place::new();
    let text = format!(
        "(component
        (import \"wasi:sockets/network@0.2.0\" (instance $n
            (type $code (enum \"unknown\" \"access-denied\" \"not-supported\" \"invalid-argument\"
                \"out-of-memory\" \"timeout\" \"concurrency-conflict\" \"not-in-progress\"
                \"would-block\" \"invalid-state\" \"new-socket-limit\" \"address-not-bindable\"
                \"address-in-use\" \"remote-unreachable\" \"connection-refused\"
                \"connection-reset\" \"connection-aborted\" \"datagram-too-large\"
                \"name-unresolvable\" \"temporary-resolver-failure\"
                \"permanent-resolver-failure\"))
            (export \"error-code\" (type (eq $code)))
            (type $family (enum \"ipv4\" \"ipv6\"))
            (export \"ip-address-family\" (type (eq $family)))))
        (alias export $n \"error-code\" (type $error))
        (alias export $n \"ip-address-family\" (type $family))
        (import \"wasi:sockets/tcp@0.2.0\" (instance $t
            (export \"tcp-socket\" (type (sub resource)))))
        (alias export $t \"tcp-socket\" (type $socket))
        (import \"wasi:sockets/tcp-create-socket@0.2.0\" (instance $c
            (alias outer 1 $error (type $e)) (export \"error-code\" (type $error (eq $e)))
            (alias outer 1 $family (type $f))
            (export \"ip-address-family\" (type $family (eq $f)))
            (alias outer 1 $socket (type $s)) (export \"tcp-socket\" (type $socket (eq $s)))
            (export \"create-tcp-socket\" (func (param \"address-family\" $family)
                (result (result (own $socket) (error $error)))))))
        (core module $libc (memory (export \"memory\") 1))
        (core instance $libc (instantiate $libc))
        (core func $create (canon lower (func $c \"create-tcp-socket\")
            (memory (core memory $libc \"memory\"))))
        (core module $m (import \"x\" \"create\" (func $create (param i32 i32)))
            (import \"x\" \"memory\" (memory 1))
            (func (export \"run\") (result i32)
                (call $create (i32.const 0) (i32.const 16))
                ;; 0 if it is an error, and that error is access-denied.
                (i32.or (i32.eqz (i32.load8_u (i32.const 16)))
                    (i32.ne (i32.const 1) (i32.load8_u (i32.const 20))))))
        (core instance $i (instantiate $m (with \"x\" (instance
            (export \"create\" (func $create)) (export \"memory\" (memory $libc \"memory\"))))))
        {RUNS})"
    );
    let outcome = run(&place.program(&text));
    assert_eq!(outcome.exit_code, Some(0), "{outcome:?}");
}

#[test]
fn components_within_components_share_the_limits() {
    let place = Place::new();
    // Each level holds the one below twice: 256 memories.
    let mut inner =
        "(component $c (core module $m (memory 1)) (core instance (instantiate $m)))".to_owned();
    for _ in 0..8 {
        inner = format!(
            "(component $c {inner} (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    let text = format!(
        "(component {inner} (instance (instantiate $c))
         (core module $m (func (export \"run\") (result i32) (i32.const 0)))
         (core instance $i (instantiate $m)) {RUNS})"
    );
    let outcome = run(&place.program(&text));
    assert_eq!(code(&outcome), Some(ErrorCode::InvalidModule), "{outcome:?}");
}
