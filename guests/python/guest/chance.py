"""Chance. Every sandbox begins with the same memory, and so with the same generator."""

import random

_is_seeded = False


def _state() -> tuple:
    version, numbers, gauss = random.getstate()
    return numbers[0], numbers[-1], gauss


def install() -> None:
    """Puts the generator of `random` into a state that can be known again."""
    global _first, _is_seeded
    random.seed(0)
    _first = _state()
    _is_seeded = False


def seed() -> None:
    """Seeds it, once in the life of a sandbox."""
    global _is_seeded
    if not _is_seeded:
        random.seed()
        _is_seeded = True


def was_used() -> bool:
    """Whether anybody drew from it, or seeded it."""
    return _state() != _first


_first: tuple = ()
