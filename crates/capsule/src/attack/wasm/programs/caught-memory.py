from capsule import task


@task(ram="64MB", timeout="2s", compute="HIGH")
def main():
    kept = []
    while True:
        try:
            kept.append(bytearray(1 << 16))
        except MemoryError:
            pass
