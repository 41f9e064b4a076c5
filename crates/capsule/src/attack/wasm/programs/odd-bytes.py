import sys

from capsule import task


@task
def main():
    sys.stdout.buffer.write(b"\x00\x1b]0;owned\x07\x1b[2J\xff\xfe\xc3\x28\r\x08" * 100)
    sys.stderr.buffer.write(b"\xf0\x9f\x98")
    sys.stdout.write("\ud800\udfff")
    print("no end of line", end="")
    sys.stdout = None
    return "gone"
