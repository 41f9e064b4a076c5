from capsule import task


class Clinging:
    def __del__(self):
        while True:
            pass


@task(timeout="300ms", compute="HIGH")
def main():
    Clinging()
    return 1
