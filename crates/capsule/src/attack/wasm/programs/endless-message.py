from capsule import task


class Slow(Exception):
    def __str__(self):
        while True:
            pass

    __repr__ = __str__


@task(timeout="300ms", compute="HIGH")
def main():
    raise Slow
