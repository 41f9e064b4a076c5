import threading

from capsule import task


@task(timeout="300ms")
def main():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
