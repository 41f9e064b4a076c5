from capsule import task


@task(ram="64MB", timeout="50s", compute="HIGH")
def main():
    kept = []
    while True:
        kept.append({len(kept): [kept]})
