from capsule import task

import probe


@task
def main():
    @task(name="late", env_variables=["@VARIABLE@"], allowed_files=["."])
    def late():
        import os

        return dict(os.environ)

    probe.refused("late", late)
    probe.refused("late, submitted", lambda: late.submit().result())

    def again():
        task(name="main", allowed_files=["."])(lambda: None)
        return probe.read("/private")

    probe.refused("its own name again", again)
    probe.refused("a file", lambda: probe.read("/private"))
    return probe.told()
