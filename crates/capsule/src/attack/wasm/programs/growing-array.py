from capsule import task


@task(ram="64MB", timeout="30s")
def main():
    block = bytearray()
    while True:
        block += bytes(1 << 20)
