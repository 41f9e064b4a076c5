//! Real work under the default profile, unmodified.
//!
//! Limits are raised where a compiler needs more than the default; nothing else is.

use capsule_tests::{Caller, Finished, Run, Scratch, Toolchain, found_on_path, host_python, skip};

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];
/// What a compiler gets.
const ROOMY: [&str; 6] = ["--memory", "2G", "--disk", "1G", "--timeout", "110s"];

/// Skips unless all of these are in the system directories.
fn have(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|name| found_on_path(name).is_none());
    if let Some(name) = missing {
        skip(&format!("no {name} in the system directories"));
    }
    missing.is_none()
}

#[track_caller]
fn works(run: Run, expected: &str) -> Finished {
    let run = run.finish().ended_with(0);
    assert_eq!(run.text(), expected, "{run}");
    run
}

#[test]
fn python_threads_and_asyncio() {
    let script = "
import asyncio, concurrent.futures, queue, threading
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(lambda x: x * x, range(100))))
async def echo(reader, writer):
    writer.write(await reader.readline()); await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(b'over loopback\\n')
    print((await reader.readline()).decode().strip())
    process = await asyncio.create_subprocess_exec('echo', 'child', stdout=asyncio.subprocess.PIPE)
    print((await process.communicate())[0].decode().strip())
    print(await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(3))))
asyncio.run(main())
";
    for caller in CALLERS {
        works(Run::python(&[], script).caller(caller), "328350\nover loopback\nchild\n[0, 1, 2]\n");
    }
}

#[test]
fn python_subprocess_and_multiprocessing() {
    let scratch = Scratch::new();
    // A file, because children of "spawn" import the program anew.
    scratch.file(
        "work.py",
        "
import multiprocessing as mp, subprocess, sys
from multiprocessing import shared_memory
def square(x): return x * x
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with mp.get_context(method).Pool(3) as pool:
            print(method, sum(pool.map(square, range(50))))
    q = mp.Queue(); p = mp.Process(target=q.put, args=('queued',)); p.start(); print(q.get()); \
        p.join()
    block = shared_memory.SharedMemory(create=True, size=1 << 20); block.buf[0] = 7; \
        print(block.buf[0]); block.close(); block.unlink()
    print(subprocess.run(['sh', '-c', 'cat; echo err >&2; exit 3'], input='in', \
        capture_output=True, text=True))
    print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)
    try: subprocess.run(['sleep', '60'], timeout=0.2)
    except subprocess.TimeoutExpired: print('expired')
",
    );
    let bind = format!("{}:/code", scratch.text());
    for caller in CALLERS {
        works(
            Run::new(&["--bind", &bind, "--", "python3", "/code/work.py"]).caller(caller),
            "fork 40425\nspawn 40425\nforkserver 40425\nqueued\n7\n\
             CompletedProcess(args=['sh', '-c', 'cat; echo err >&2; exit 3'], returncode=3, \
             stdout='in', stderr='err\\n')\n\
             b'1\\n'\nexpired\n",
        );
    }
}

#[test]
fn python_standard_library() {
    let script = "
import bz2, csv, ctypes, curses, datetime, decimal, hashlib, io, json, locale, lzma, mmap, os, \
    pathlib, platform, random
import re, select, shutil, signal, socket, sqlite3, ssl, tempfile, time, urllib.parse, uuid, \
    venv, xml.etree, zipfile, zlib, zoneinfo
db = sqlite3.connect('/tmp/x.db'); db.execute('create table t(a)'); db.execute('insert into t \
    values (42)'); db.commit()
print(db.execute('select a from t').fetchone()[0])
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d) / 'a.zip'
    with zipfile.ZipFile(p, 'w') as z: z.writestr('x', 'y')
    print(zipfile.ZipFile(p).read('x'))
print(ssl.create_default_context().verify_mode.name, len(uuid.uuid4().hex), os.cpu_count() > 0)
signal.signal(signal.SIGALRM, lambda *a: print('alarm')); signal.setitimer(signal.ITIMER_REAL, \
    0.05); time.sleep(0.3)
print(datetime.datetime.now(zoneinfo.ZoneInfo('Europe/Berlin')).tzinfo, platform.node(), \
    locale.setlocale(locale.LC_ALL, ''))
";
    for caller in CALLERS {
        works(
            Run::python(&[], script).caller(caller),
            "42\nb'y'\nCERT_REQUIRED 32 True\nalarm\nEurope/Berlin capsule C.UTF-8\n",
        );
    }
}

#[test]
fn numpy_from_a_mounted_environment() {
    let Some((folders, interpreter, packages)) = host_python() else {
        return skip("CAPSULE_TEST_PYTHON names no interpreter");
    };
    let path = format!("PYTHONPATH={packages}");
    let mut flags = vec!["-e", &path, "--memory", "1G"];
    flags.extend(folders.iter().flat_map(|folder| ["--readonly", folder.as_str()]));
    let script = "import numpy as np\n\
        a = np.arange(250000, dtype=float).reshape(500, 500)\n\
        print(int((a @ a.T).trace()), np.linalg.matrix_rank(np.eye(40)), \
        np.fft.fft(np.ones(8))[0].real)\n\
        print(np.random.default_rng(1).integers(0, 100, 5).sum() > 0)\n\
        np.save('/tmp/a.npy', a); print(np.load('/tmp/a.npy', mmap_mode='r')[1, 2])";
    let run = Run::new(&[&flags[..], &["--", &interpreter, "-c", script]].concat());
    works(run, "5208302083375000 40 8.0\nTrue\n502.0\n");
}

#[test]
fn node_runs() {
    if !have(&["node"]) {
        return;
    }
    let script = "
const { Worker } = require('worker_threads'), cp = require('child_process'), fs = require('fs'), \
    http = require('http');
const crypto = require('crypto'), zlib = require('zlib');
(async () => {
  console.log(await new Promise(done => new \
      Worker('require(\"worker_threads\").parentPort.postMessage(6*7)', { eval: true \
      }).on('message', done)));
  console.log(cp.execFileSync('echo', ['child']).toString().trim());
  const server = http.createServer((q, r) => r.end('over loopback')).listen(0, '127.0.0.1', \
      async () => {
    const answer = await new Promise(done => http.get({ port: server.address().port, host: \
        '127.0.0.1' }, r => r.on('data', d => done(d.toString()))));
    console.log(answer); server.close();
  });
  await fs.promises.writeFile('/tmp/x', 'file'); console.log(await \
      fs.promises.readFile('/tmp/x', 'utf8'));
  console.log(crypto.createHash('sha256').update('abc').digest('hex').slice(0, 8), \
      zlib.gunzipSync(zlib.gzipSync('zip')).toString());
})();
";
    for caller in CALLERS {
        let run = Run::new(&[&ROOMY[..], &["--", "node", "-e", script]].concat()).caller(caller);
        let run = run.finish().ended_with(0);
        let mut lines: Vec<&str> = run.text().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["42", "ba7816bf zip", "child", "file", "over loopback"], "{run}");
    }
}

#[test]
fn npm_starts() {
    if !have(&["npm", "node"]) {
        return;
    }
    for caller in CALLERS {
        let run = Run::new(&[&ROOMY[..], &["--", "npm", "--version"]].concat()).caller(caller);
        let run = run.finish().ended_with(0);
        assert!(run.text().trim().split('.').count() >= 3, "{run}");
    }
    let run = Run::shell(
        &ROOMY,
        "npm init -y > /dev/null && npm pkg get name && npm run env | grep -c npm_lifecycle",
    );
    let run = run.finish().ended_with(0);
    assert!(run.text().starts_with("\"workspace\"\n"), "{run}");
}

#[test]
fn gcc_and_make() {
    if !have(&["gcc", "make"]) {
        return;
    }
    let script = "
printf 'int twice(int x) { return 2 * x; }\n' > a.c
printf '#include <stdio.h>\n#include <math.h>\nint twice(int); int main(void) { printf(\"%%d \
    %%.0f\\\\n\", twice(21), sqrt(16.0)); return 0; }\n' > b.c
printf 'all: program\nprogram: a.o b.o\n\tgcc -o $@ $^ -lm\n%%.o: %%.c\n\tgcc -O2 -g -c $<\n' > \
    Makefile
make -s -j2 && ./program && gcc -shared -fPIC -o liba.so a.c && gcc -static b.c a.c -lm -o fixed \
    && ./fixed";
    for caller in CALLERS {
        works(Run::shell(&ROOMY, script).caller(caller), "42 4\n42 4\n");
    }
}

#[test]
fn cargo_builds_and_tests() {
    let Some(rust) = Toolchain::rust() else {
        return skip("no Rust toolchain that could be mounted");
    };
    if !have(&["cc"]) {
        return;
    }
    let path = rust.path();
    let mut flags = vec!["-e", path.as_str()];
    flags.extend(rust.binds.iter().flat_map(|bind| ["--bind", bind.as_str()]));
    let script = "cargo init -q --vcs none hello && cd hello && cargo build -q --offline && \
        ./target/debug/hello && \
        printf '#[test]\nfn holds() { assert_eq!(std::thread::spawn(|| 2 + 2).join().unwrap(), \
        4) }\n' >> src/main.rs && \
        cargo test -q --offline 2>&1 | grep -c '1 passed'";
    works(Run::shell(&[&ROOMY[..], &flags].concat(), script), "Hello, world!\n1\n");
}

#[test]
fn go_builds() {
    if !have(&["go"]) {
        return;
    }
    let script = "
printf 'module hello\n\ngo 1.18\n' > go.mod
printf 'package main\nimport (\"fmt\"; \"sync\")\nfunc main() { var w sync.WaitGroup; c := \
    make(chan int, 100); for i := 0; i < 100; i++ { w.Add(1); go func(i int) { defer w.Done(); c \
    <- i }(i) }; w.Wait(); close(c); s := 0; for v := range c { s += v }; fmt.Println(s) }\n' > \
    main.go
go vet . && go build -o hello . && ./hello";
    let flags =
        [&ROOMY[..], &["-e", "GOFLAGS=-mod=mod", "-e", "GOPROXY=off", "-e", "GOTOOLCHAIN=local"]]
            .concat();
    for caller in CALLERS {
        works(Run::shell(&flags, script).caller(caller), "4950\n");
    }
}

#[test]
fn java_compiles_and_runs() {
    if !have(&["javac", "java"]) {
        return;
    }
    let script = "
cat > Hello.java <<'END'
import java.util.concurrent.*; import java.nio.file.*;
public class Hello { public static void main(String[] a) throws Exception {
  var pool = Executors.newFixedThreadPool(4);
  System.out.println(pool.submit(() -> 6 * 7).get()); pool.shutdown();
  Files.writeString(Path.of(\"/tmp/x\"), \"file\"); \
      System.out.println(Files.readString(Path.of(\"/tmp/x\")));
  System.out.println(new String(new ProcessBuilder(\"echo\", \
      \"child\").start().getInputStream().readAllBytes()).trim());
} }
END
javac Hello.java && java Hello";
    for caller in CALLERS {
        works(Run::shell(&ROOMY, script).caller(caller), "42\nfile\nchild\n");
    }
}

#[test]
fn git_works() {
    if !have(&["git"]) {
        return;
    }
    let script = "git config --global user.name a && git config --global user.email a@b.c && git \
        init -q one 2>/dev/null && cd one && \
        echo 1 > file && git add . && git commit -qm first && git checkout -qb side && echo 2 >> \
        file && git commit -qam second && \
        git rebase -q HEAD~1 && git gc -q && cd .. && git clone -q one two && git -C two log \
        --format=%s && git -C two status --short && git -C two fsck 2>&1 | head -3";
    for caller in CALLERS {
        works(Run::shell(&[], script).caller(caller), "second\nfirst\n");
    }
}

#[test]
fn git_works_on_a_mounted_repository() {
    if !have(&["git"]) {
        return;
    }
    for caller in CALLERS {
        let scratch = Scratch::new();
        let user = if caller == Caller::Unprivileged && capsule_tests::own_user() == 0 {
            65_534
        } else {
            capsule_tests::own_user()
        };
        let folder = scratch.directory_of("repository", user);
        let bind = format!("{folder}:/workspace:rw");
        // "dubious ownership" would stop it if the owner were not the guest.
        let script = "git init -q . 2>/dev/null && echo 1 > file && git add . && git -c \
            user.name=a -c user.email=a@b.c commit -qm first && git log --format=%s";
        works(Run::shell(&["--bind", &bind], script).caller(caller), "first\n");
        assert!(scratch.path().join("repository/.git/HEAD").exists());
    }
}

#[test]
fn bash_pipelines() {
    if !have(&["bash"]) {
        return;
    }
    let script = "set -euo pipefail
diff <(seq 1 5) <(seq 1 5) && echo same
tee >(wc -l > /tmp/count) < /etc/group > /dev/null; sleep 0.3; cat /tmp/count
coproc cat; echo through >&${COPROC[1]}; read -r line <&${COPROC[0]}; echo $line
cat <<< here; mapfile -t a < <(printf '%s\\n' x y z); echo ${#a[@]}
trap 'echo trapped' USR1; kill -USR1 $$
seq 100000 | sort -R | sort -n | tail -1 | xargs -I{} echo last {}
(sleep 0.1; echo background) & wait $!; time -p true 2>/dev/null
find /usr/share -maxdepth 1 -type d -print0 | xargs -0 -P4 -n1 basename | sort | head -1 | wc -l
exec 3<>/tmp/rw; echo rw >&3; cat /tmp/rw; timeout 1 sleep 5 || echo $?";
    for caller in CALLERS {
        let run = Run::new(&["--", "bash", "-c", script]).caller(caller).finish().ended_with(0);
        assert_eq!(
            run.text(),
            "same\n3\nthrough\nhere\n3\ntrapped\nlast 100000\nbackground\n1\nrw\n124\n",
            "{run}"
        );
    }
}

/// Scripts ask for their limits, and lower the one on core files, as a matter of course.
#[test]
fn limits_can_be_asked_for_and_lowered() {
    if !have(&["bash"]) {
        return;
    }
    let script = "ulimit -a > /dev/null && ulimit -n 512 && ulimit -c 0 && ulimit -c -n";
    for caller in CALLERS {
        let run = Run::new(&["--", "bash", "-ec", script]).caller(caller).finish().ended_with(0);
        assert_eq!(run.errors(), "", "{run}");
    }
}

#[test]
fn perl_tar_and_compressors() {
    if !have(&["perl", "tar", "gzip"]) {
        return;
    }
    let script = "mkdir d && echo x > d/f && tar czf d.tgz d && rm -r d && tar xzf d.tgz && cat \
        d/f && \
        perl -e 'print join(\",\", map { $_ * 2 } 1..3), \"\\n\"; print `echo sub`' && \
        cp -a d e && diff -r d e && touch -d 2001-01-01 e/f && stat -c %y e/f | cut -c 1-4";
    for caller in CALLERS {
        works(Run::shell(&[], script).caller(caller), "x\n2,4,6\nsub\n2001\n");
    }
}
