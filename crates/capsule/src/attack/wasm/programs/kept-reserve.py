from capsule import task


@task(ram="64MB", timeout="5s", compute="HIGH")
def main():
    kept = []
    while True:
        try:
            while True:
                kept.append({})
        except MemoryError:
            pass
