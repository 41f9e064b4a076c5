from capsule import task

import probe


@task
def main():
    import helper

    probe.expect("its source is what runs", helper.VALUE == "source", helper.VALUE)
    return probe.told()
