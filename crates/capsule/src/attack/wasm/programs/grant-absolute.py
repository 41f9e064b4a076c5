from capsule import task


@task(allowed_files=["@OUTSIDE@"])
def main():
    return open("@OUTSIDE@/secret").read()
