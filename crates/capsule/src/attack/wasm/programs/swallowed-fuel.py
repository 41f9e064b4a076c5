from capsule import task


@task(compute=200_000_000, timeout="60s")
def main():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
