from capsule import task


class Owned(Exception):
    pass


Owned.__qualname__ = "\x1b]0;owned\x07\x1b[2J"


@task(name="main", max_retries=1)
def main():
    raise Owned("\x1b]0;owned\x07\x1b[2J\x9b2J")
