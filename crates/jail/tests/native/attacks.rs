//! A hostile program against the protocol. It owns the descriptor, so it can say
//! anything; what it must not get is a host that believes it, waits for ever, or grows.

use std::time::{Duration, Instant};

use capsule_backend::guest::{GuestError, Meter};
use capsule_spec::ByteSize;

use crate::play::{Play, Seen};

/// What every attacker needs.
const TOOLS: &str = "\
import json, os, struct, sys, time
def frame(message, length=None):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack('>I', len(body) if length is None else length) + body
def say(data):
    while data: data = data[os.write(3, data):]
";

fn attack(body: &str) -> Play {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    Play::new(&format!("{TOOLS}def main():\n{body}"))
}

fn quickly(seen: impl FnOnce() -> Seen) -> Seen {
    let started = Instant::now();
    let seen = seen();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?} {seen:#?}", started.elapsed());
    seen
}

#[test]
fn bytes_that_are_no_frame_are_the_end() {
    for (say, told) in [
        ("b'garbage, and more of it'", "it sent the host a frame of more than 64 MiB"),
        ("frame(b'', 2**26 + 1)", "it sent the host a frame of more than 64 MiB"),
        ("frame(b'', 2**32 - 1)", "it sent the host a frame of more than 64 MiB"),
        ("frame(b'')", "it sent the host something that is no message"),
        ("frame(b'\\xff\\xfe')", "it sent the host something that is no message"),
        ("frame({'grant': {'fuel': 1}})", "it sent the host something that is no message"),
        ("frame({'done': 1, 'failed': 2})", "it sent the host something that is no message"),
        (
            "frame({'answer': {'id': 1, 'value': '1'}})",
            "it sent the host something that is no message",
        ),
        ("frame(b'{\"done\":NaN}')", "it sent the host something that is no message"),
        ("frame(b'[' * 1000000)", "it sent the host something that is no message"),
        (
            "frame(b'{\"done\":' + b'[' * 1000 + b']' * 1000 + b'}')",
            "it sent the host a value that is nested too deeply",
        ),
        ("frame({'hello': {}})", "it sent the host its messages in the wrong order"),
    ] {
        let seen = quickly(|| attack(&format!("say({say})\ntime.sleep(60)")).run());
        assert_eq!(seen.crashed(), told, "{say}");
    }
}

#[test]
fn a_frame_that_never_ends_is_not_waited_for() {
    let seen = quickly(|| attack("say(frame(b'{\"done\":', 2**26))\nos._exit(0)").run());
    assert_eq!(seen.crashed(), "its process exited with 0 before the task returned");
    // The answer of the honest part of the program becomes part of the frame.
    let seen = quickly(|| attack("say(frame(b'', 1000))\nreturn 1").run());
    assert!(matches!(seen.result, Err(GuestError::Crashed(_))), "{seen:#?}");
}

#[test]
fn the_largest_frame_is_still_one() {
    let [mut fits, mut not] =
        [11, 10].map(|less| attack(&format!("return 'x' * (2**26 - {less})")));
    fits.grant.ram = ByteSize::from_mib(512);
    not.grant.ram = fits.grant.ram;
    assert_eq!(fits.run().value().len(), (1 << 26) - 9);
    assert_eq!(not.run().raised().0, "TooLarge");
}

#[test]
fn what_comes_after_the_answer_is_not_heard() {
    let seen = quickly(|| {
        attack(
            "say(frame({'done': 1}) + frame({'done': 2}) + frame({'failed': 3}) + b'garbage')\n\
             while True:\n\
             \x20   try: say(frame({'call': {'id': 1, 'task': 'echo', 'arguments': '{}'}}))\n\
             \x20   except OSError: pass",
        )
        .run()
    });
    assert_eq!(seen.value(), "1");
    assert_eq!(seen.calls.len(), 0);
}

#[test]
fn silence_is_noticed() {
    let seen = quickly(|| attack("os.close(3)\ntime.sleep(60)").run());
    assert_eq!(seen.crashed(), "it closed its channel to the host");
    let seen = quickly(|| attack("os.close(3)\nreturn 1").run());
    assert!(matches!(seen.result, Err(GuestError::Crashed(_))), "{seen:#?}");
}

#[test]
fn a_process_that_keeps_the_channel_open_keeps_nothing_else() {
    let seen = quickly(|| {
        attack(
            "if os.fork() == 0:\n\
             \x20   os.setsid()\n\
             \x20   if os.fork() == 0: time.sleep(60)\n\
             \x20   os._exit(0)\n\
             os._exit(7)",
        )
        .run()
    });
    assert_eq!(seen.crashed(), "its process exited with 7 before the task returned");
}

#[test]
fn a_forked_process_does_not_answer_for_the_task() {
    let seen = quickly(|| {
        attack(
            "from capsule import task\n\
             child = os.fork()\n\
             if child == 0: return 'child'\n\
             os.waitpid(child, 0)\n\
             child = os.fork()\n\
             if child == 0: raise ValueError('child')\n\
             return ['parent', os.waitpid(child, 0)[1] >> 8]",
        )
        .run()
    });
    assert_eq!(seen.value(), r#"["parent", 1]"#);
    assert!(seen.stderr.contains("ValueError: child"), "{}", seen.stderr);
}

#[test]
fn processes_that_die_say_how() {
    for (body, told) in [
        ("os._exit(0)", "its process exited with 0 before the task returned"),
        ("os.abort()", "the command was ended by SIGABRT"),
        ("os.kill(os.getpid(), 9)", "the command was ended by SIGKILL"),
        ("import ctypes\nctypes.string_at(1)", "the command was ended by SIGSEGV"),
    ] {
        let seen = quickly(|| attack(body).run());
        assert_eq!(seen.crashed(), told, "{body}");
    }
    let seen = quickly(|| attack("sys.exit(3)").run());
    assert_eq!(seen.raised(), ("SystemExit", "the task called exit(3)", ""));
}

#[test]
fn numbers_of_calls_are_its_own_but_not_twice() {
    let seen = quickly(|| {
        attack(
            "call = frame({'call': {'id': 2**64 - 1, 'task': 'never', 'arguments': '{}'}})\n\
             say(call + call)\n\
             time.sleep(60)",
        )
        .run()
    });
    assert_eq!(seen.crashed(), "it sent the host a number that is in use");
    let seen = quickly(|| attack("say(frame({'cancel': {'id': 77}}) * 1000)\nreturn 1").run());
    assert_eq!(seen.value(), "1");
}

#[test]
fn calls_without_measure_are_refused() {
    let seen = attack(
        "from capsule import task, TaskError\n\
         never = task(name='never')(lambda: None)\n\
         begun = [never.submit() for _ in range(4097)]\n\
         try: begun[-1].result()\n\
         except TaskError as error: kind = error.error_type\n\
         return [kind, sum(one.done() for one in begun)]",
    )
    .run();
    assert_eq!(seen.value(), r#"["TooMany", 1]"#);
    assert_eq!(seen.calls.len(), 4096);
    let seen = attack(
        "from capsule import task, TaskError\n\
         never = task(name='never')(lambda text: None)\n\
         text = 'x' * 2**24\n\
         begun = [never.submit(text) for _ in range(17)]\n\
         try: begun[-1].result()\n\
         except TaskError as error: return error.error_type",
    )
    .run();
    assert_eq!(seen.value(), r#""TooMany""#);
}

#[test]
fn answers_that_are_not_read_are_not_kept_for_ever() {
    // All at once: after the first answer that is not read nothing more would be heard.
    let seen = attack(
        "ids = range(34)\n\
         calls = [frame({'call': {'id': id, 'task': 'heavy', 'arguments': '{}'}}) for id in ids]\n\
         say(b''.join(calls))\n\
         time.sleep(600)",
    )
    .run();
    assert_eq!(seen.crashed(), "it does not read the answers to what it asks");
    let seen = attack(
        "say(frame({'call': {'id': 1, 'task': 'heavy', 'arguments': '{}'}}))\n\
         time.sleep(0.5)\n\
         say(frame({'call': {'id': 2, 'task': 'echo', 'arguments': '{}'}}))\n\
         time.sleep(0.5)\n\
         os._exit(0)",
    )
    .run();
    assert!(matches!(seen.result, Err(GuestError::Crashed(_))), "{seen:#?}");
    assert_eq!(seen.calls.len(), 1);
}

#[test]
fn a_flood_of_questions_ends_with_the_budget_and_lets_others_have_their_turn() {
    let mut play = attack(
        "import threading\n\
         def drain():\n\
         \x20   while os.read(3, 1 << 20): pass\n\
         threading.Thread(target=drain, daemon=True).start()\n\
         while True: say(frame({'source': {'id': 1, 'name': 'nowhere'}}) * 1000)",
    );
    play.grant.meter = Meter::new(10_000_000_000);
    let started = Instant::now();
    let seen = play.run();
    assert_eq!(seen.result, Err(GuestError::OutOfFuel));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn a_name_of_a_module_is_no_path() {
    let seen = quickly(|| {
        attack(
            "names = ['../../etc/passwd', '/etc/passwd', 'a/b', '..', '', 'a\\0', 'x' * 10**6]\n\
             from wit_world.imports import host\n\
             told = []\n\
             for name in names:\n\
             \x20   _, answer = host.channel.ask('source', name=name)\n\
             \x20   answer.wait()\n\
             \x20   told.append(answer.value['module'])\n\
             return told",
        )
        .run()
    });
    assert_eq!(seen.value(), "[null, null, null, null, null, null, null]");
    assert_eq!(seen.asked, [""]);
}

#[test]
fn no_descriptor_of_the_host_is_there_and_none_can_be_given_to_it() {
    let before = open_descriptors();
    let seen = quickly(|| {
        attack(
            "import array, socket\n\
             there = sorted(int(name) for name in os.listdir('/proc/self/fd'))\n\
             with socket.socket(fileno=os.dup(3)) as channel:\n\
             \x20   files = array.array('i', [os.open('/etc/passwd', os.O_RDONLY) for _ in range(100)])\n\
             \x20   rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]\n\
             \x20   channel.sendmsg([frame({'source': {'id': 9, 'name': 'nowhere'}})], rights)\n\
             \x20   try: peer = os.open('/proc/self/fd/3', os.O_RDWR)\n\
             \x20   except OSError as error: peer = error.errno\n\
             time.sleep(0.2)\n\
             return [there, peer]",
        )
        .run()
    });
    // 4 is the listing itself; 6 is ENXIO: a socket cannot be opened by its name.
    assert_eq!(seen.value(), "[[0, 1, 2, 3, 4], 6]");
    assert!(open_descriptors() < before + 100, "{before} before, {}", open_descriptors());
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn exceptions_are_what_they_say_within_bounds() {
    let seen = quickly(|| {
        attack(
            "say(frame({'failed': {'kind': 'k' * 10**6, 'message': 'ä' * 10**6, 'traceback': 't' * 10**6}}))\n\
             time.sleep(60)",
        )
        .run()
    });
    let (kind, message, traceback) = seen.raised();
    assert_eq!((kind.len(), message.len(), traceback.len()), (200, 65536, 65636));
    let seen = quickly(|| {
        attack(
            "class E(Exception):\n\
             \x20   def __str__(self): raise self\n\
             E.__qualname__ = E.__name__ = 'Fancy'\n\
             raise E",
        )
        .run()
    });
    assert_eq!(seen.raised().0, "Fancy");
}
