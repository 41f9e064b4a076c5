from capsule import task


def again():
    try:
        while True:
            pass
    except BaseException:
        again()
    finally:
        again()


@task(timeout="300ms", compute="HIGH")
def main():
    while True:
        try:
            again()
        except BaseException:
            continue
        finally:
            again()
