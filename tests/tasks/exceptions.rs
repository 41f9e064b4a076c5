//! What must be an exception inside, where the interpreter or its binding would rather end:
//! memory that is used up, half characters, numbers out of range, deep values.

use capsule_tests::Program;
use serde_json::{Value, json};

/// Runs `body` as the task `main` with these options; the envelope.
#[track_caller]
fn envelope(options: &str, body: &str) -> Value {
    let lines: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let text =
        format!("from capsule import TaskError, task\n\n\n@task({options})\ndef main():\n{lines}");
    Program::new(&text).answer(&[]).json()
}

#[track_caller]
fn result(options: &str, body: &str) -> Value {
    let envelope = envelope(options, body);
    assert_eq!(envelope["success"], true, "{envelope}");
    envelope["result"].clone()
}

const SMALL: &str = "ram='64MB', compute='HIGH', timeout='60s'";

/// Each fills the memory with something else.
const FILLERS: [(&str, &str); 12] = [
    ("dicts", "kept = []\nwhile True: kept.append({})"),
    ("text", "kept = 'x'\nwhile True: kept = kept + kept"),
    ("more text", "kept = ''\nwhile True: kept += 'x' * 100_000"),
    ("numbers", "kept, number = set(), 0\nwhile True:\n    kept.add(number)\n    number += 1"),
    ("bytes", "kept = b''\nwhile True: kept += b'x' * 100_000"),
    ("an array", "kept = bytearray()\nwhile True: kept += b'x' * 10_000"),
    ("objects", "class C: pass\nkept = []\nwhile True: kept.append(C())"),
    (
        "frames",
        "import sys\nsys.setrecursionlimit(10**9)\ndef deeper(n):\n    kept = [n] * 1000\n    return deeper(n + 1) + kept[0]\ndeeper(0)",
    ),
    (
        "a database",
        "import sqlite3\ndata = sqlite3.connect(':memory:')\ndata.execute('create table t(a)')\nwhile True: data.execute('insert into t values (zeroblob(10000))')",
    ),
    (
        "values",
        "import json\nkept = []\nwhile True: kept.append(json.loads('{\"a\": [1, \"xyz\"]}'))",
    ),
    (
        "exceptions",
        "kept = []\nwhile True:\n    try: raise ValueError(len(kept))\n    except ValueError as error: kept.append(error)",
    ),
    (
        "output",
        "kept = []\nwhile True:\n    kept.append({})\n    if len(kept) % 500 == 0: print(len(kept))",
    ),
];

#[test]
fn memory_that_is_used_up_is_a_memory_error() {
    for (what, filler) in FILLERS {
        let envelope = envelope(SMALL, filler);
        let error = &envelope["error"];
        assert_eq!(
            (&error["error_type"], &error["code"]),
            (&json!("MemoryError"), &json!("E4001")),
            "{what}: {envelope}"
        );
        assert_eq!(error["hint"], "it may use 64MB; the option ram sets that", "{what}");
        let traceback = error["traceback"].as_str().unwrap_or_default();
        // Where exceptions fill the memory, their frames are the first that it gives up.
        let place = if what == "exceptions" { "MemoryError" } else { "File \"main.py\"" };
        assert!(traceback.contains(place), "{what}: {envelope}");
        // What it may have above the limit, to tell so, is little.
        let used = envelope["execution"]["ram_used"].as_u64().unwrap();
        assert!(used < 64_000_000 + (4 << 20), "{what}: {used}");
    }
}

#[test]
fn a_memory_error_can_be_handled() {
    for (what, filler) in &FILLERS[..9] {
        let body = format!(
            "def fill():\n{}\ntry:\n    fill()\nexcept MemoryError:\n    print('caught')\nreturn len([str(n) for n in range(10_000)])",
            filler.lines().map(|line| format!("    {line}\n")).collect::<String>()
        );
        assert_eq!(result(SMALL, &body), 10_000, "{what}");
    }
}

/// Where nothing can be raised the run still says what there was too little of.
#[test]
fn memory_that_ends_in_a_trap_is_still_a_limit() {
    let envelope = envelope(SMALL, "kept = []\nwhile True: kept = [kept]");
    assert_eq!(envelope["error"]["code"], "E4001", "{envelope}");
}

#[test]
fn output_takes_no_memory() {
    let program = Program::new(
        "from capsule import task\n@task\ndef main():\n    for _ in range(400): print('x' * 65_535)\n",
    );
    let run = program.answer(&[]).ended_with(0);
    let used = run.json()["execution"]["ram_used"].as_u64().unwrap();
    assert!(used < 34 << 20, "{used}");
    assert_eq!(run.json()["execution"]["output_truncated"], true);
}

#[test]
fn half_characters_are_refused_with_their_place() {
    for (body, place) in [
        ("return '\\ud800'", "the result has half a character"),
        ("return {'a': ['\\udc00']}", "the result['a'][0] has half a character"),
        ("return {'\\ud800': 1}", "the result has the key '\\ud800'"),
    ] {
        let envelope = envelope("", body);
        let error = &envelope["error"];
        assert_eq!(
            (&error["error_type"], &error["code"]),
            (&json!("NotExact"), &json!("E3008")),
            "{envelope}"
        );
        assert!(error["message"].as_str().unwrap().contains(place), "{envelope}");
    }
    // In the words of an exception they are told by their number.
    for body in ["raise ValueError('\\ud800')", "raise SystemExit('\\ud800')"] {
        assert_eq!(envelope("", body)["error"]["message"], "\\ud800", "{body}");
    }
    let body = "import importlib\ntry: importlib.import_module('\\ud800')\nexcept ImportError: return 'no module'";
    assert_eq!(result("", body), "no module");
}

#[test]
fn times_that_cannot_be_waited_for_are_exceptions_or_long() {
    let body = "
import asyncio, socket, time
seen = []
for seconds in (1e300, float('inf'), float('nan'), -1, '1'):
    try: seen.append(time.sleep(seconds))
    except (OverflowError, TypeError, ValueError) as error: seen.append(type(error).__name__)
async def waits(seconds):
    return await asyncio.wait_for(asyncio.sleep(0, 'here'), seconds)
return seen + [asyncio.run(waits(1e300)), asyncio.run(waits(float('inf')))]";
    assert_eq!(
        result("", body),
        json!([
            "OverflowError",
            "OverflowError",
            "ValueError",
            "ValueError",
            "TypeError",
            "here",
            "here"
        ])
    );
}

/// The C library's own destroys memory when it fails.
#[test]
fn a_read_that_fails_leaves_memory_as_it_is() {
    let body = "
import os
for name in ('a', 'b'):
    try: open(name)
    except OSError: pass
seen = set()
for number in range(-1, 40):
    try: os.pread(number, 64, 0)
    except OSError as error: seen.add(type(error).__name__)
with open('/tmp/file', 'wb+') as file:
    file.write(b'0123456789')
    file.flush()
    found = os.pread(file.fileno(), 3, 4), file.tell()
kept = [[bytes(n) for n in range(100)] for _ in range(100)]
return sorted(seen), found[0].decode(), found[1], len(kept)";
    assert_eq!(result("", body), json!([["IsADirectoryError", "OSError"], "456", 10, 100]));
}

#[test]
fn deep_values_are_recursion_errors() {
    let body = "
import copy, json, pickle
def tower():
    value = []
    for _ in range(100_000): value = [value]
    return value
seen = []
for action in (lambda: json.loads('[' * 1_000_000), lambda: json.dumps(tower()), lambda: repr(tower()),
               lambda: pickle.dumps(tower()), lambda: tower() == tower()):
    try: action()
    except RecursionError: seen.append('RecursionError')
return seen";
    assert_eq!(result("", body), json!(vec!["RecursionError"; 5]));
}

#[test]
fn the_error_of_a_task_has_its_stable_code() {
    let text = "
from capsule import DeniedError, TaskError, http, task


@task
def fails():
    raise ValueError('no')


@task(timeout='100ms')
def waits():
    import time
    time.sleep(9)


@task(compute=50_000_000)
def burns():
    while True: pass


@task(ram='64MB')
def fills():
    return len(bytearray(1 << 30))


@task(ram='64MB', compute='HIGH')
def stacks():
    kept = []
    while True: kept = [kept]


@task
def denied():
    http.get('http://example.com/')


@task
def calls():
    fails()


@task
def deeper(n):
    return deeper(n + 1)


@task
def main():
    codes = {}
    for child in (fails, waits, burns, fills, stacks, denied, calls):
        try: child()
        except TaskError as error:
            codes[child.name] = [error.error_type, error.code, error.retryable, error.traceback[:9]]
    try: deeper(0)
    except TaskError as error: codes['deeper'] = error.code
    return codes
";
    let run = Program::new(text).answer(&[]).ended_with(0);
    assert_eq!(
        run.json()["result"],
        json!({
            "fails": ["ValueError", "E3008", true, "Traceback"],
            "waits": ["Timeout", "E3003", false, ""],
            "burns": ["FuelExhausted", "E4004", false, ""],
            "fills": ["MemoryError", "E4001", false, "Traceback"],
            "stacks": ["MemoryError", "E4001", false, ""],
            "denied": ["DeniedError", "E5002", false, "Traceback"],
            "calls": ["TaskError", "E3008", true, "Traceback"],
            "deeper": "E3008",
        })
    );
}

#[test]
fn the_library_can_do_without_what_is_not_there() {
    let body = "
import doctest, getpass, os, pdb, tarfile
try:
    import readline
    seen = ['readline']
except ImportError:
    seen = []
with tarfile.open('/tmp/all.tar', 'w') as tar:
    open('/tmp/one', 'w').close()
    tar.add('/tmp/one')
seen += tarfile.open('/tmp/all.tar').getnames() + [os.path.expanduser('~')]
import grp, pwd
for find in (pwd.getpwnam, grp.getgrnam):
    try: find('root')
    except KeyError: seen.append('nobody')
def twice(number):
    '''
    >>> twice(2)
    4
    '''
    return 2 * number
tests = doctest.DocTestFinder().find(twice, 'twice', globs={'twice': twice})
seen.append(doctest.DocTestRunner().run(tests[0]).failed)
return seen";
    assert_eq!(result("", body), json!(["tmp/one", "~", "nobody", "nobody", 0]));
}
