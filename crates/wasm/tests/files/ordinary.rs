//! What programs do with files, in `/tmp` and in a folder of the host: one program for
//! each part of the standard library, run in both.

use capsule_spec::Access;
use tempfile::TempDir;

use crate::support::*;

/// Runs the body of `main`, which may use `d`, the directory, in both places.
#[track_caller]
fn works(body: &str) {
    let Some(sandbox) = Sandbox::new() else { return };
    let folder = TempDir::new().unwrap();
    let source = folder.path().canonicalize().unwrap();
    let files = [granted(&source, "/data", Access::ReadWrite)];
    for directory in ["/tmp", "/data"] {
        let program = program(&format!("d = {directory:?}\n{body}"));
        assert_eq!(sandbox.value(&files, &program), "null");
    }
    // Nothing was left on the host but what the program names so.
    for entry in folder.path().read_dir().unwrap() {
        let name = entry.unwrap().file_name();
        assert!(name.to_string_lossy().starts_with("kept"), "{name:?} was left");
    }
}

#[test]
fn open_reads_and_writes() {
    works(
        r#"
path = d + "/kept.txt"
with open(path, "w") as f:
    f.write("hello\nworld\n")
assert open(path).read() == "hello\nworld\n"
with open(path, "a") as f:
    f.write("more")
    f.write("!")
with open(path, "r+b") as f:
    f.seek(-5, os.SEEK_END)
    assert f.read() == b"more!"
    f.seek(0)
    f.write(b"J")
    f.truncate(5)
assert open(path).read() == "Jello"
with open(path, "w+") as f:
    assert f.read() == ""
raises(FileExistsError, lambda: open(path, "x"))
raises(FileNotFoundError, lambda: open(d + "/none"))
raises(FileNotFoundError, lambda: open(d + "/none/file", "w"))
raises(IsADirectoryError, lambda: open(d))
raises(IsADirectoryError, lambda: open(d, "w"))
raises(NotADirectoryError, lambda: open(path + "/file"))
raises(ValueError, lambda: open(d + "/a\0b"))
data = os.urandom(3_000_000)
with open(d + "/kept.big", "wb") as f:
    assert f.write(data) == len(data)
    f.flush()
    os.fsync(f.fileno())
with open(d + "/kept.big", "rb") as f:
    assert f.read() == data
    f.seek(1_234_567)
    assert f.read(100) == data[1_234_567:1_234_667]
"#,
    );
}

#[test]
fn descriptors_behave() {
    works(
        r#"
path = d + "/f"
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
assert os.write(fd, b"hello world") == 11
assert os.lseek(fd, 0, os.SEEK_CUR) == 11
assert os.pread(fd, 5, 6) == b"world"
assert os.pwrite(fd, b"W", 6) == 1
os.lseek(fd, 6, os.SEEK_SET)
assert os.read(fd, 100) == b"World" and os.read(fd, 100) == b""
os.ftruncate(fd, 3)
assert os.fstat(fd).st_size == 3
os.ftruncate(fd, 10)
assert os.pread(fd, 100, 0) == b"hel" + bytes(7)
os.fsync(fd)
# Deleted, and still there for who has it open.
os.unlink(path)
assert not os.path.exists(path)
assert os.fstat(fd).st_nlink == 0 and os.pread(fd, 3, 0) == b"hel"
os.close(fd)
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(fd, b"a"); os.lseek(fd, 0, 0); os.write(fd, b"b")
raises(OSError, lambda: os.read(fd, 1))
os.close(fd)
assert open(path).read() == "ab"
fd = os.open(path, os.O_RDONLY)
raises(OSError, lambda: os.write(fd, b"x"))
raises(OSError, lambda: os.ftruncate(fd, 0))
os.close(fd)
raises(OSError, lambda: os.fstat(fd))
# Relative to a directory's descriptor.
fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
os.mkdir("sub", dir_fd=fd)
os.close(os.open("sub/x", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
assert os.stat("sub/x", dir_fd=fd).st_size == 0
os.unlink("sub/x", dir_fd=fd)
os.rmdir("sub", dir_fd=fd)
os.fsync(fd)
os.close(fd)
raises(NotADirectoryError, lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY))
os.unlink(path)
"#,
    );
}

#[test]
fn pathlib_and_shutil_work_on_trees() {
    works(
        r#"
import glob, pathlib, shutil
p = pathlib.Path(d) / "t"
(p / "a" / "b").mkdir(parents=True)
(p / "a" / "f.txt").write_text("hi")
(p / "a" / "b" / "ü.txt").write_text("yo")
shutil.copytree(p, p.with_name("u"))
u = p.with_name("u")
assert sorted(str(x.relative_to(u)) for x in u.rglob("*")) == ["a", "a/b", "a/b/ü.txt", "a/f.txt"]
assert (u / "a/f.txt").stat().st_size == 2 and (u / "a").is_dir() and not (u / "a").is_file()
os.rename(u, d + "/v")
os.replace(d + "/v/a/f.txt", d + "/v/g.txt")
assert sorted((a[len(d):], sorted(b), sorted(c)) for a, b, c in os.walk(d + "/v")) == [
    ("/v", ["a"], ["g.txt"]), ("/v/a", ["b"], []), ("/v/a/b", [], ["ü.txt"])]
assert len(glob.glob(d + "/v/**", recursive=True)) == 5
raises(OSError, lambda: os.rmdir(d + "/v"))
raises(FileExistsError, lambda: os.mkdir(d + "/v"))
raises(OSError, lambda: os.rename(d + "/v", d + "/v/a/x"))
shutil.move(d + "/v/g.txt", "/tmp/moved")
shutil.copy("/tmp/moved", d + "/copy")
assert open(d + "/copy").read() == "hi"
os.unlink("/tmp/moved"); os.unlink(d + "/copy")
shutil.rmtree(d + "/v"); shutil.rmtree(p)
assert not os.path.exists(d + "/v")
"#,
    );
}

#[test]
fn links_and_times_work() {
    works(
        r#"
path = d + "/orig"
open(path, "w").write("1234567890")
os.symlink("orig", d + "/soft")
os.link(path, d + "/hard")
assert os.readlink(d + "/soft") == "orig"
assert os.stat(d + "/soft").st_size == 10 and os.lstat(d + "/soft").st_size == 4
assert os.stat(d + "/hard").st_nlink == 2 and os.path.samefile(d + "/hard", path)
assert not os.path.samefile(d, path) and os.path.islink(d + "/soft")
assert os.path.realpath(d + "/soft") == path
raises(OSError, lambda: os.open(d + "/soft", os.O_RDONLY | os.O_NOFOLLOW))
raises(FileExistsError, lambda: os.symlink("x", d + "/soft"))
raises(FileExistsError, lambda: os.open(d + "/soft", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
os.unlink(d + "/hard"); os.unlink(d + "/soft")
assert os.stat(path).st_nlink == 1
before = os.stat(path)
os.utime(path, (1000, 2000.5))
after = os.stat(path)
assert (after.st_atime, after.st_mtime) == (1000, 2000.5) and after.st_ctime >= before.st_ctime
import time
os.utime(path)
assert abs(os.stat(path).st_mtime - time.time()) < 5
os.unlink(path)
"#,
    );
}

#[test]
fn sqlite_commits_and_rolls_back() {
    works(
        r#"
import sqlite3
path = d + "/kept.db"
c = sqlite3.connect(path)
assert c.execute("pragma journal_mode").fetchone() == ("delete",)
c.execute("create table t(a, b)")
for i in range(20):
    with c:
        c.executemany("insert into t values (?, ?)", [(i, "x" * 100)] * 50)
try:
    with c:
        c.execute("delete from t")
        raise KeyError
except KeyError:
    pass
c.close()
c = sqlite3.connect(path)
assert c.execute("select count(*), sum(a) from t").fetchone() == (1000, 9500)
assert c.execute("pragma integrity_check").fetchone() == ("ok",)
c.execute("delete from t where a > 3"); c.commit()
c.execute("vacuum")
c.close()
assert sorted(x for x in os.listdir(d) if "db" in x) == ["kept.db"]
"#,
    );
}

#[test]
fn temporary_files_and_archives_work() {
    works(
        r#"
import shutil, tarfile, tempfile, zipfile
assert tempfile.gettempdir() == "/tmp"
with tempfile.TemporaryDirectory(dir=d) as t:
    with tempfile.NamedTemporaryFile(dir=t) as f:
        f.write(b"q"); f.flush()
        assert os.stat(f.name).st_size == 1
    assert os.listdir(t) == []
assert not os.path.exists(t)
with tempfile.TemporaryFile(dir=d) as f:
    f.write(b"qq"); f.seek(0)
    assert f.read() == b"qq"
with zipfile.ZipFile(d + "/z.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("a/b.txt", "hello" * 1000); z.writestr("c.txt", "1")
with zipfile.ZipFile(d + "/z.zip") as z:
    assert z.testzip() is None
    z.extractall(d + "/x")
assert open(d + "/x/a/b.txt").read() == "hello" * 1000
with tarfile.open(d + "/z.tar.gz", "w:gz") as z:
    for name in ("a/b.txt", "c.txt"):
        info = tarfile.TarInfo("x/" + name)
        info.size = os.path.getsize(f"{d}/x/{name}")
        with open(f"{d}/x/{name}", "rb") as f:
            z.addfile(info, f)
with tarfile.open(d + "/z.tar.gz") as z:
    z.extractall(d + "/y", filter="data")
assert open(d + "/y/x/c.txt").read() == "1"
for name in ("x", "y"):
    shutil.rmtree(f"{d}/{name}")
os.unlink(d + "/z.zip"); os.unlink(d + "/z.tar.gz")
"#,
    );
}

#[test]
fn relative_paths_start_at_the_root() {
    let Some(sandbox) = Sandbox::new() else { return };
    let folder = TempDir::new().unwrap();
    let source = folder.path().canonicalize().unwrap();
    std::fs::write(source.join("x"), "here").unwrap();
    let files = [
        granted(&source, "/data", Access::ReadOnly),
        granted(&source.join("x"), "/config/one.txt", Access::ReadOnly),
    ];
    let body = r#"
assert os.getcwd() == "/" and os.listdir() == os.listdir("/") == ["config", "data", "tmp"]
for path in ("./data/x", "data/x", "/data/x", "data/../data/x", "../data/x", "//data//x",
             "config/one.txt", "./config/one.txt", "/config/../config/one.txt"):
    assert open(path).read() == "here", path
os.chdir("data")
assert open("x").read() == open("./x").read() == open("../data/x").read() == "here"
assert os.listdir("/config") == ["one.txt"] and os.path.isfile("/config/one.txt")
raises(NotADirectoryError, lambda: os.listdir("/config/one.txt"))
"#;
    assert_eq!(sandbox.value(&files, &program(body)), "null");
}

/// Not a benchmark: what it takes on a machine that is ten times slower.
#[test]
fn small_and_large_files_are_quick() {
    works(
        r#"
import time
begun = time.perf_counter()
for _ in range(1000):
    fd = os.open(d + "/kept", os.O_RDWR | os.O_CREAT); os.write(fd, b"x" * 1000); os.close(fd)
    fd = os.open(d + "/kept", os.O_RDONLY); os.read(fd, 1000); os.close(fd)
small = time.perf_counter() - begun
begun = time.perf_counter()
block = b"y" * (1 << 20)
with open(d + "/large", "wb") as f:
    for _ in range(50):
        f.write(block)
with open(d + "/large", "rb") as f:
    while f.read(1 << 20):
        pass
large = time.perf_counter() - begun
os.unlink(d + "/large")
print(f"{d}: 1 kB written and read {small * 1000:.1f} us, 50 MB {large:.3f} s")
assert small < 0.5 and large < 5, (small, large)
"#,
    );
}
