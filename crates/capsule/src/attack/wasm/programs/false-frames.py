import linecache

from capsule import task


@task
def main():
    for path in ("/etc/passwd", "@PROJECT@/private"):
        linecache.getlines(path)
        try:
            exec(compile("1/0", path, "exec"))
        except ZeroDivisionError:
            pass
    exec(compile("\n" * 0 + "1/0", "@OUTSIDE@/secret", "exec"))
