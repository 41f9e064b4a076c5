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

    @task(name="main", allowed_files=["."])
    def again():
        return probe.read("/private")

    probe.refused("its own name again", lambda: probe.read("/private"))
    return probe.told()
