//! What a guest tries against PID 1, its keepers and its server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::sandbox::{Reach, Sandbox};

use crate::place::{self, Place, finish, hear, program, run, sh, start, within};

/// Runs Python inside and returns what it said.
async fn python(sandbox: &Arc<dyn Sandbox>, code: &str) -> String {
    let said = run(sandbox, &program(&["python3", "-c", code])).await;
    assert_eq!(said.code(), 0, "{said:?}");
    said.out
}

#[tokio::test(flavor = "multi_thread")]
async fn init_cannot_be_killed_stopped_traced_or_read() {
    let place = Place::new();
    let sandbox = place.make("init").await;
    let code = "
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
for number in range(1, 65):
    for pid in (1, -1):
        try: os.kill(pid, number) if pid == 1 or number in (0, 18, 23) else None
        # Refused, or nobody but PID 1 is there.
        except (PermissionError, ProcessLookupError): pass
# PTRACE_ATTACH, PTRACE_SEIZE
for request in (16, 0x4206):
    assert libc.ptrace(request, 1, 0, 0) == -1
for name in NAMES:
    try:
        open(f'/proc/1/{name}', 'rb').read(1)
        print('opened', name)
    except OSError: pass
if 'fd' in NAMES:
    try: os.listdir('/proc/1/fd'); print('listed')
    except OSError: pass
# process_vm_readv, pidfd_getfd, prlimit
assert libc.syscall(310, 1, 0, 0, 0, 0, 0) == -1 or True
fd = libc.syscall(434, 1, 0)
if fd >= 0:
    for other in range(20):
        assert libc.syscall(438, fd, other, 0) == -1
print('done')
";
    // gVisor shows what is no secret there: PID 1 has the engine's variables, and holds nothing
    // that can be opened (the next attack).
    let names = match crate::backend::is_gvisor() {
        true => "'mem', 'stack', 'cwd/x', 'root/x', 'exe'",
        false => "'mem', 'environ', 'maps', 'auxv', 'fd', 'stack', 'cwd/x', 'root/x', 'exe'",
    };
    let code = format!("NAMES = ({names})\n{code}");
    assert_eq!(python(&sandbox, &code).await, "done\n");
    assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    place.end("init", &sandbox).await;
}

/// What PID 1 has open is its server's: nobody inside can speak or listen there.
#[tokio::test(flavor = "multi_thread")]
async fn what_init_has_open_is_out_of_reach() {
    let place = Place::new();
    let sandbox = place.make("open").await;
    // Streams that are held for somebody.
    let _held = start(&sandbox, &program(&["cat"])).await;
    let code = "
import os
own = set(os.listdir('/proc/self/fd'))
for pid in filter(str.isdigit, os.listdir('/proc')):
    try: numbers = os.listdir(f'/proc/{pid}/fd')
    except OSError: continue
    if int(pid) == os.getpid(): continue
    for number in numbers:
        path = f'/proc/{pid}/fd/{number}'
        try: leads = os.readlink(path)
        except OSError: continue
        # A program's own streams, and what is the same for everybody.
        if leads.startswith(('pipe:', '/dev/null')): continue
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            try: os.open(path, flags | os.O_NONBLOCK); print('opened', pid, number, leads, flags)
            except OSError: pass
print('done')
";
    assert_eq!(python(&sandbox, code).await, "done\n");
    assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    place.end("open", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_init_is_out_of_reach() {
    let place = Place::new();
    let sandbox = place.make("socket").await;
    let path = place.state().join("socket.sock");
    let code = format!(
        "
import socket, os
for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for name in ({path:?}, '/proc/1/fd/3', '/proc/1/root' + {path:?}):
        s = socket.socket(socket.AF_UNIX, kind)
        try: s.connect(name); print('connected', name)
        except OSError: pass
text = open('/proc/net/unix').read()
print('seen' if {path:?} in text else 'unseen')
# Nothing is inherited but the three streams.
print(sorted(os.listdir('/proc/self/fd'))[:4])
"
    );
    let said = python(&sandbox, &code).await;
    // The fourth is that of the listing itself.
    assert_eq!(said, "unseen\n['0', '1', '2', '3']\n");
    place.end("socket", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_kills_keepers_gains_nothing() {
    let place = Place::new();
    let sandbox = place.make("keepers").await;
    // It kills its own keeper, which is its parent, and goes on.
    let script =
        "kill -9 $PPID; sleep 0.2; setsid sleep 1000 & echo orphaned; while :; do sleep 0.1; done";
    let process = start(&sandbox, &place::shell(script)).await;
    hear(&process, "orphaned").await;
    within(5, process.signal(libc::SIGKILL, Reach::Tree)).await.unwrap();
    assert_eq!(finish(&process).await.ended.signal, Some(9));
    place::settles(&sandbox, place.init("keepers"), 1).await;
    // Its end is told, as well.
    let said = sh(&sandbox, "kill -9 $PPID; sleep 0.2; exit 9").await;
    assert_eq!(said.code(), 9);
    // A signal reaches it.
    let process =
        start(&sandbox, &place::shell("kill -9 $PPID; sleep 0.2; echo x; exec sleep 1000")).await;
    hear(&process, "x").await;
    process.signal(libc::SIGTERM, Reach::Process).await.unwrap();
    assert_eq!(finish(&process).await.ended.signal, Some(15));
    // All at once, or stopped.
    for script in [
        "kill -9 -1; exec sleep 1000",
        "kill -STOP $PPID; sleep 0.2; setsid sleep 1000 & exec sleep 1000",
    ] {
        let process = start(&sandbox, &place::shell(script)).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let _ = within(5, process.signal(libc::SIGKILL, Reach::Tree)).await;
        assert_eq!(finish(&process).await.ended.signal, Some(9), "{script}");
    }
    assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    drop(process);
    place.end("keepers", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_ended() {
    let bombs = [
        "while True:\n  try: os.fork()\n  except OSError: pass\n",
        // The first process stays; below it nobody stays with his parent.
        "if os.fork(): time.sleep(1000)\nwhile True:\n  try:\n    if os.fork(): os._exit(0)\n    os.setsid()\n    os.fork()\n  except OSError: pass\n",
        "for s in range(1,65):\n  try: signal.signal(s,signal.SIG_IGN)\n  except (OSError,ValueError): pass\nwhile True:\n  try:\n    os.fork(); os.setpgid(0,0)\n  except OSError: pass\n",
        // Each gets the others going again.
        "while True:\n  try:\n    os.fork(); os.kill(-1, signal.SIGCONT)\n  except OSError: pass\n",
    ];
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.memory = capsule_spec::ByteSize::from_mib(4096);
    let sandbox = place.make_with("bombs", &recipe).await;
    if crate::backend::is_gvisor() {
        return a_bomb_is_over(&place, &sandbox, bombs[0]).await;
    }
    for bomb in bombs {
        let bomb = format!("import os, signal, time\n{bomb}");
        let process = start(&sandbox, &program(&["python3", "-c", &bomb])).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = Instant::now();
        within(20, process.signal(libc::SIGKILL, Reach::Tree)).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
        assert_eq!(finish(&process).await.ended.signal, Some(9), "{bomb}");
        place::settles(&sandbox, place.init("bombs"), 1).await;
        assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    }
    place.end("bombs", &sandbox).await;
}

/// Nothing is refused in gVisor, so a bomb is not: it ends by all being ended, or, if it was
/// faster than who looks, with the sandbox. One is enough: each leaves thousands of the host's
/// processes to end.
async fn a_bomb_is_over(place: &Place, sandbox: &Arc<dyn Sandbox>, bomb: &str) {
    let traces = place.traces("bombs");
    let bomb = format!("import os, signal, time\n{bomb}");
    let process = start(sandbox, &program(&["python3", "-c", &bomb])).await;
    assert_eq!(within(60, process.ended()).await.signal, Some(9), "without anybody's doing");
    let said = within(60, sandbox.spawn(&place::shell("echo well"))).await;
    if let Ok(process) = said {
        assert_eq!(finish(&process).await.out, "well\n");
        return place.end("bombs", sandbox).await;
    }
    within(90, sandbox.ended()).await;
    traces.assert_gone();
    assert!(place.files_of("bombs").is_empty());
}

/// Who is left behind by a program that is over counts as anybody.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_does_not_grow_beyond_the_limit() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.max_pids = 20;
    let sandbox = place.make_with("behind", &recipe).await;
    let code = "
import os, time
if os.fork(): os._exit(0)
os.setsid()
null = os.open('/dev/null', os.O_RDWR)
for stream in range(3): os.dup2(null, stream)
time.sleep(0.3)
for _ in range(100):
    try:
        if os.fork() == 0: time.sleep(1000)
    except OSError: time.sleep(0.01)
time.sleep(1000)
";
    assert_eq!(run(&sandbox, &program(&["python3", "-c", code])).await.code(), 0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let found = place::count(&sandbox, place.init("behind")).await;
    // Some places more are for keepers.
    assert!(found < 60, "{found}");
    // Where the kernel refuses, they keep what they have.
    within(10, sandbox.kill_all()).await.unwrap();
    assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    place.end("behind", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_in_full_flight_ends_with_the_sandbox() {
    let place = Place::new();
    let sandbox = place.make("flight").await;
    let bomb = "import os\nwhile True:\n  try: os.fork(); os.setsid()\n  except OSError: pass\n";
    let _process = start(&sandbox, &program(&["python3", "-c", bomb])).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let init = place.init("flight");
    let groups = place.groups("flight");
    let started = Instant::now();
    // Where each process is some of the host's, these take their time to end.
    let most = if crate::backend::is_gvisor() { 120 } else { 3 };
    within(120, sandbox.end()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(most), "{:?}", started.elapsed());
    assert!(!place::is_alive(init));
    assert!(groups.iter().all(|group| !group.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_orphans_leave_no_zombie() {
    let place = Place::new();
    let sandbox = place.make("orphans").await;
    // Where a process is two of the host's each takes its time.
    let many = if crate::backend::is_gvisor() { 200 } else { 4000 };
    let code = "import os\nfor n in range(MANY):\n  if os.fork()==0:\n    if os.fork()==0: os._exit(0)\n    os._exit(0)\n  os.wait()\nprint('done')";
    let code = code.replace("MANY", &many.to_string());
    assert_eq!(python(&sandbox, &code).await, "done\n");
    // Left behind by processes that have ended, as well.
    for _ in 0..20 {
        sh(&sandbox, "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done").await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    place::settles(&sandbox, place.init("orphans"), 1).await;
    place.end("orphans", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_descriptors_hurts_the_guest_only() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.open_files = 64;
    let sandbox = place.make_with("flood", &recipe).await;
    let code = "
import os, resource
held = []
try:
    while True: held.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error: print(error.errno, len(held) < 64)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
";
    assert_eq!(python(&sandbox, code).await, "24 True\n(64, 64)\n");
    // PID 1 has room of its own for what it keeps.
    let mut kept = Vec::new();
    for _ in 0..40 {
        kept.push(start(&sandbox, &program(&["true"])).await);
    }
    for process in &kept {
        assert_eq!(finish(process).await.code(), 0);
    }
    place.end("flood", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_ends_that_nobody_hears_are_refused_and_told_later() {
    let place = Place::new();
    let sandbox = place.make("untold").await;
    let mut kept = Vec::new();
    let refused = loop {
        match sandbox.spawn(&program(&["true"])).await {
            Ok(process) => kept.push(process),
            Err(failure) => break failure,
        }
        assert!(kept.len() < 1000);
    };
    assert!(kept.len() >= 100, "{} {refused:?}", kept.len());
    for process in kept.drain(..) {
        assert_eq!(finish(&process).await.code(), 0);
    }
    assert_eq!(sh(&sandbox, "echo again").await.out, "again\n");
    place.end("untold", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loud_guest_fills_its_pipe_and_no_memory() {
    let place = Place::new();
    let sandbox = place.make("loud").await;
    let process = start(&sandbox, &program(&["yes"])).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Nobody read, so nothing was kept: what there is, is what a pipe holds.
    within(5, process.signal(libc::SIGKILL, Reach::Tree)).await.unwrap();
    let said = finish(&process).await;
    assert!(said.out.len() <= 128 * 1024, "{}", said.out.len());
    place.end("loud", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_server_is_in_init() {
    // What the host sees there is gVisor's kernel, which the engine has started.
    if crate::backend::is_gvisor() {
        return;
    }
    let place = Place::new();
    // Something that the server knows, in its memory.
    let secret: String = (0..64).map(|n| char::from(b'A' + n % 26)).rev().collect();
    let secrets = vec![secret; 10_000];
    let sandbox = place.make("shed").await;
    let init = place.init("shed");
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    // A program that was executed, and not cloned, has its own pages of addresses that were
    // filled in at its start.
    let most = if crate::backend::is_jail() { 1024 } else { 2048 };
    assert!(line("RssAnon:") < most, "{status}");
    let maps = std::fs::read_to_string(format!("/proc/{init}/maps"));
    // Only root may look.
    if let Ok(maps) = maps {
        assert!(!maps.contains("[heap]") && !maps.is_empty(), "{maps}");
    }
    assert_eq!(secrets.len(), 10_000);
    place.end("shed", &sandbox).await;
}
