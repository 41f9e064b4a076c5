"""Chance. Every sandbox begins with the same memory, and so with the same generator."""

import random

#: A state that no program will choose, and the first numbers that are drawn from it.
_KNOWN = 0x6361_7073_756C_6521
_BITS = 64

_seed = random.seed
_is_seeded = False
_first = 0


def _skip(*_arguments) -> None:
    """In place of `random.seed`, which the runtime calls first of all."""
    random.seed = _seed


def install() -> None:
    """Puts the generator of `random` into a state that is known again."""
    global _first, _is_seeded
    _seed(_KNOWN)
    _first = random.getrandbits(_BITS)
    _seed(_KNOWN)
    _is_seeded = False
    random.seed = _skip


def seed() -> None:
    """Seeds it, once in the life of a sandbox."""
    global _is_seeded
    random.seed = _seed
    if not _is_seeded:
        _seed()
        _is_seeded = True


def was_used() -> bool:
    """Whether anybody drew from it, or seeded it. It must be seeded afterwards."""
    return _is_seeded or random.getrandbits(_BITS) != _first
