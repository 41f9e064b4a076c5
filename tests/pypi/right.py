"""A task for each package: it asks what the package is for, and compares the answer."""

from capsule import task


def gives(answer):
    """Makes a task of a question. Its name is the package's, as PyPI spells it."""

    def of(question):
        def ask():
            found = question()
            if found != answer:
                raise AssertionError(f"{found!r} in place of {answer!r}")
            return "right"

        return task(name=question.__name__.replace("_", "-"))(ask)

    return of
