//! Changes of files, told as they happen, and what a guest does to whoever listens.

use std::time::Duration;

use capsule_backend::sandbox::{Notice, NoticeKind, Notices, Sandbox};
use capsule_spec::ErrorCode;
use std::sync::Arc;

use crate::place::{Place, program, sh, start, within};

/// Listens until something is told that is wanted; all that was told.
async fn until(notices: &mut Box<dyn Notices>, wanted: &str) -> Vec<String> {
    let mut told = Vec::new();
    while !told.iter().any(|one: &String| one == wanted) {
        let more = tokio::time::timeout(Duration::from_secs(20), notices.next()).await;
        let more = more.unwrap_or_else(|_| panic!("no {wanted:?} in {told:?}"));
        told.extend(more.expect("it goes on").into_iter().map(text));
    }
    told
}

fn text(notice: Notice) -> String {
    let Notice::File { kind, path, is_directory } = notice else { return "lost".to_owned() };
    let slash = if is_directory { "/" } else { "" };
    match kind {
        NoticeKind::Created => format!("+{path}{slash}"),
        NoticeKind::Modified => format!("*{path}{slash}"),
        NoticeKind::Removed => format!("-{path}{slash}"),
        NoticeKind::Moved(to) => format!("{path}>{to}{slash}"),
    }
}

async fn listen(sandbox: &Arc<dyn Sandbox>, path: &str, recursive: bool) -> Box<dyn Notices> {
    within(10, sandbox.watch(path, recursive)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told() {
    let place = Place::new();
    let sandbox = place.make("notices").await;
    sh(&sandbox, "mkdir -p old/deep").await;
    let mut flat = listen(&sandbox, "/workspace", false).await;
    let mut deep = listen(&sandbox, "/workspace/", true).await;
    sh(&sandbox, "echo 1 >file; echo 2 >>file; mv file other; rm other").await;
    let told = until(&mut flat, "-/workspace/other").await;
    let expected = [
        "+/workspace/file",
        "*/workspace/file",
        "/workspace/file>/workspace/other",
        "-/workspace/other",
    ];
    assert_eq!(told, expected);
    until(&mut deep, "-/workspace/other").await;
    // Below: in directories that were there, in new ones also what came before they were
    // watched, and under the new name of one that was moved.
    sh(
        &sandbox,
        "echo >old/deep/a; mkdir -p new/x/y; echo >new/x/y/b; mv old moved; echo >moved/deep/c",
    )
    .await;
    let told = until(&mut deep, "+/workspace/moved/deep/c").await;
    for wanted in [
        "+/workspace/old/deep/a",
        "+/workspace/new/",
        "+/workspace/new/x/",
        "+/workspace/new/x/y/",
        "+/workspace/new/x/y/b",
        "/workspace/old>/workspace/moved/",
    ] {
        assert!(told.iter().any(|one| one == wanted), "{wanted} in {told:?}");
    }
    sh(
        &sandbox,
        "echo >new/x/y/d; mv moved /tmp/away; echo >/tmp/away/deep/e; rm -r new; echo >end",
    )
    .await;
    let told = until(&mut deep, "+/workspace/end").await;
    assert!(told.iter().any(|one| one == "+/workspace/new/x/y/d"), "{told:?}");
    assert!(told.iter().any(|one| one == "-/workspace/moved/"), "{told:?}");
    assert!(!told.iter().any(|one| one.ends_with("/e")), "{told:?}");
    // What the server writes is told, too, and the end of the sandbox ends it.
    crate::place::write(&sandbox, "/workspace/up", b"x").await.unwrap();
    until(&mut deep, "+/workspace/up").await;
    // What leaves what is watched is gone, and nobody hears of it any more.
    sh(&sandbox, "mkdir -p in/a/b").await;
    let mut inner = listen(&sandbox, "/workspace/in", true).await;
    sh(&sandbox, "mv in/a out; echo >out/b/unheard; echo >in/last").await;
    let told = until(&mut inner, "+/workspace/in/last").await;
    assert_eq!(told[0], "-/workspace/in/a/", "{told:?}");
    assert!(!told.iter().any(|one| one.contains("unheard")), "{told:?}");
    drop((flat, inner));
    place.end("notices", &sandbox).await;
    assert!(within(10, deep.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_inside_is_not_watched() {
    let place = Place::new();
    let sandbox = place.make("blind").await;
    sh(&sandbox, "echo >file; mkdir closed; chmod 0 closed; ln -s / root").await;
    for (path, code) in [
        ("/workspace/nowhere", ErrorCode::FileNotFound),
        ("/workspace/file", ErrorCode::WrongFileKind),
        ("/workspace/closed", ErrorCode::FileDenied),
        ("/proc/self", ErrorCode::FileDenied),
    ] {
        let failure = within(10, sandbox.watch(path, true)).await.err().unwrap();
        assert_eq!(failure.code, code, "{path}");
    }
    // A link leads where it leads inside, and nowhere else.
    let host = tempfile::tempdir().unwrap();
    let path = format!("/workspace/root{}", host.path().display());
    assert_eq!(
        within(10, sandbox.watch(&path, false)).await.err().unwrap().code,
        ErrorCode::FileNotFound
    );
    place.end("blind", &sandbox).await;
}

/// More than anybody listens to is lost and said to be; nobody waits, and it goes on after.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_told_as_lost() {
    let place = Place::new();
    let sandbox = place.make("storm").await;
    let mut notices = listen(&sandbox, "/workspace", true).await;
    let code = "import os\nfor i in range(30000):\n  f=os.open(f'f{i%50}', os.O_CREAT|os.O_WRONLY); os.write(f, b'x'); os.close(f); os.unlink(f'f{i%50}')";
    let process = start(&sandbox, &program(&["python3", "-c", code])).await;
    within(60, process.ended()).await;
    until(&mut notices, "lost").await;
    sh(&sandbox, "mkdir after").await;
    until(&mut notices, "+/workspace/after/").await;
    sh(&sandbox, "echo >after/file").await;
    until(&mut notices, "+/workspace/after/file").await;
    // Nobody has as many directories watched as there are.
    let code = "import os\nfor i in range(5000): os.mkdir(f'd{i}')";
    let process = start(&sandbox, &program(&["python3", "-c", code])).await;
    until(&mut notices, "lost").await;
    within(60, process.ended()).await;
    drop(notices);
    // Queues are counted as the sandbox's own, and given back.
    let mut many = Vec::new();
    for _ in 0..20 {
        many.push(listen(&sandbox, "/workspace/after", false).await);
    }
    drop(many);
    assert_eq!(sh(&sandbox, "echo fine").await.out, "fine\n");
    place.end("storm", &sandbox).await;
}
