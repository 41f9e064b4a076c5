import time

from capsule import task


@task(timeout="300ms")
def main():
    while True:
        try:
            time.sleep(1e9)
        except BaseException:
            pass
