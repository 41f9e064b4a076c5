//! What a guest can fill, and where that ends.

use std::fs;

use capsule_spec::{Access, ByteSize};
use tempfile::TempDir;

use crate::support::*;

#[track_caller]
fn holds(body: &str) {
    let Some(sandbox) = Sandbox::new() else { return };
    assert_eq!(sandbox.value(&[], &program(body)), "null");
}

#[test]
fn tmp_is_full_at_its_limit() {
    holds(
        r#"
written = 0
with open("/tmp/full", "wb", buffering=0) as f:
    def fill():
        global written
        while True:
            written += f.write(b"x" * 100_000)
    full(errno.ENOSPC, fill)
    assert written == 64 << 20, written
    # It is full for everybody, again and again, and then is not.
    for _ in range(20_000):
        full(errno.ENOSPC, lambda: f.write(b"x"))
    f.seek(0)
    f.seek(0, os.SEEK_END)
    denied(errno.ENOSPC, lambda: f.write(b"x"))
    denied(errno.ENOSPC, lambda: os.pwrite(f.fileno(), b"x", 64 << 20))
    assert os.pwrite(f.fileno(), b"y", 100) == 1
with open("/tmp/second", "wb", buffering=0) as f:
    denied(errno.ENOSPC, lambda: f.write(b"x"))
os.truncate("/tmp/full", 10)
open("/tmp/second", "w").write("y" * 50_000_000)
os.unlink("/tmp/second")
# Deleted but open counts.
f = open("/tmp/gone", "wb")
f.write(b"x" * (40 << 20))
f.flush()
os.unlink("/tmp/gone")
def more():
    with open("/tmp/more", "wb", buffering=0) as g:
        n = 0
        while n < 40 << 20:
            n += g.write(b"x" * (1 << 20))
full(errno.ENOSPC, more)
f.close()
os.unlink("/tmp/more")
more()
"#,
    );
}

#[test]
fn a_smaller_disk_is_smaller() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut small = grant(&[]);
    small.disk = ByteSize::from_bytes(8192);
    let body = r#"
open("/tmp/a", "w").write("x" * 8192)
def more():
    with open("/tmp/b", "wb", buffering=0) as f:
        f.write(b"x")
denied(errno.ENOSPC, more)
"#;
    assert_eq!(sandbox.call(&small, &program(body)).unwrap(), "null");
}

#[test]
fn sparse_files_cost_what_they_hold() {
    holds(
        r#"
with open("/tmp/sparse", "w+b", buffering=0) as f:
    f.seek(1 << 60)
    f.write(b"x")
    assert os.fstat(f.fileno()).st_size == (1 << 60) + 1
    f.seek((1 << 60) - 2)
    assert f.read(10) == b"\0\0x"
    f.truncate((1 << 63) - 1)
    f.seek((1 << 63) - 1)
    denied(errno.EFBIG, lambda: f.write(b"x"))
    def pages():
        for n in range(1 << 20):
            f.seek(n << 32)
            f.write(b"x")
    full(errno.ENOSPC, pages)
"#,
    );
}

#[test]
fn a_million_files_do_not_fit() {
    holds(
        r#"
made = 0
def fill():
    global made
    for n in range(1_000_000):
        os.close(os.open(f"/tmp/{n}", os.O_CREAT | os.O_WRONLY))
        made += 1
denied(errno.ENOSPC, fill)
assert made == 32768 - 1, made
denied(errno.ENOSPC, lambda: os.mkdir("/tmp/d"))
denied(errno.ENOSPC, lambda: os.link("/tmp/1", "/tmp/l"))
denied(errno.ENOSPC, lambda: os.symlink("1", "/tmp/l"))
assert len(os.listdir("/tmp")) == made
for n in range(made):
    os.unlink(f"/tmp/{n}")
os.mkdir("/tmp/d")
"#,
    );
}

#[test]
fn names_and_depth_end() {
    holds(
        r#"
open("/tmp/" + "n" * 255, "w").close()
denied(errno.ENAMETOOLONG, lambda: open("/tmp/" + "n" * 256, "w"))
open("/tmp/" + "ü" * 127, "w").close()
denied(errno.ENAMETOOLONG, lambda: open("/tmp/" + "ü" * 128, "w"))
denied(errno.ENAMETOOLONG, lambda: os.stat("/tmp" + "/." * 3000))
denied(errno.ENAMETOOLONG, lambda: os.symlink("t" * 5000, "/tmp/l"))
path = "/tmp"
def deeper():
    global path
    while True:
        os.mkdir(path + "/d")
        path += "/d"
denied(errno.ENAMETOOLONG, deeper)
assert len(path) > 4000
# And on, from a descriptor.
fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
for _ in range(10_000):
    os.mkdir("d", dir_fd=fd)
    next = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    os.close(fd)
    fd = next
root = os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY)
denied(errno.EINVAL, lambda: os.rename("d", "loop", src_dir_fd=root, dst_dir_fd=fd))
os.symlink("loop", "/tmp/loop")
denied(errno.ELOOP, lambda: open("/tmp/loop"))
"#,
    );
}

#[test]
fn descriptors_end() {
    holds(
        r#"
held = []
def fill():
    while True:
        held.append(os.open(f"/tmp/{len(held)}", os.O_CREAT | os.O_RDWR))
denied(errno.ENOMEM, fill)
assert 1000 < len(held) < 1024, len(held)
os.close(held.pop())
held.append(os.open("/tmp/0", os.O_RDONLY))
for fd in held:
    os.close(fd)
scans = []
def scan():
    while True:
        scans.append(os.scandir("/tmp")); next(scans[-1])
denied(errno.ENOMEM, scan)
del scans
"#,
    );
}

#[test]
fn a_directory_may_change_while_it_is_listed() {
    let Some(sandbox) = Sandbox::new() else { return };
    let folder = TempDir::new().unwrap();
    let files = [granted(&folder.path().canonicalize().unwrap(), "/data", Access::ReadWrite)];
    let body = r#"
for d in ("/tmp", "/data"):
    for n in range(2000):
        open(f"{d}/{n}", "w").close()
    seen = set()
    for n, entry in enumerate(os.scandir(d)):
        assert entry.name not in seen
        seen.add(entry.name)
        os.unlink(entry.path)
        if n < 300:
            open(f"{d}/new{n}", "w").close()
            os.rename(f"{d}/new{n}", f"{d}/newer{n}")
    assert {str(n) for n in range(2000)} <= seen
    for name in os.listdir(d):
        os.unlink(f"{d}/{name}")
"#;
    assert_eq!(sandbox.value(&files, &program(body)), "null");
}

#[test]
fn a_host_folder_takes_one_gibibyte_a_call() {
    let Some(sandbox) = Sandbox::new() else { return };
    let folder = TempDir::new().unwrap();
    let files = [granted(&folder.path().canonicalize().unwrap(), "/data", Access::ReadWrite)];
    let body = r#"
with open("/data/f", "w+b", buffering=0) as f:
    denied(errno.EDQUOT, lambda: f.truncate((1 << 30) + 1))
    f.seek(1 << 60)
    denied(errno.EDQUOT, lambda: f.write(b"x"))
    f.truncate(600 << 20)
    f.truncate(0)
    denied(errno.EDQUOT, lambda: f.truncate(600 << 20))
    f.truncate(300 << 20)
    f.truncate(0)
    f.seek(0)
    n = 0
    def fill():
        global n
        while n < 1 << 28:
            f.seek(0)
            n += f.write(b"x" * (1 << 20))
    full(errno.EDQUOT, fill)
    assert n == 124 << 20, n
"#;
    assert_eq!(sandbox.value(&files, &program(body)), "null");
    let left = fs::metadata(folder.path().join("f")).unwrap().len();
    assert!(left <= 1 << 20, "{left}");
}
