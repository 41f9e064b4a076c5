"""Lists what is in the image, so that the builder can make it last for ever.

Whoever reads an object counts a reference up and down, and so writes to its page, which
then is the run's own: two pages of five were written for nothing else. Objects of the image
live as long as the interpreter anyway. So the builder (``guests/link``) gives them the count
of immortal objects, which is never changed. It finds this list in the image by its mark,
and wipes it out.
"""

import gc
import types
from array import array

from guest import room

#: ``capsule: objects of the image!``, in words: nowhere else in memory they stand in a row.
_MARK = (0x73706163, 0x3A656C75, 0x6A626F20, 0x73746365, 0x20666F20, 0x20656874, 0x67616D69, 0x0A0A2165)


def survey() -> array:
    """The mark, how many objects follow, and the address of each, and of its type."""
    # Not what is meant to be freed.
    seen = {id(room._kept)}
    stack = gc.get_objects()
    listed = array("I", bytes(4 * (len(_MARK) + 1)))
    seen.update((id(seen), id(stack), id(listed)))
    # Types in C are not tracked, and what they hold is.
    kinds = {object}
    todo = [object]
    while todo:
        found = [kind for kind in type.__subclasses__(todo.pop()) if kind not in kinds]
        kinds.update(found)
        todo.extend(found)
    stack.extend(kind.__dict__ for kind in kinds)
    seen.update((id(kinds), id(todo)))
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        listed.extend((id(one), id(type(one))))
        stack.extend(gc.get_referents(one))
        if isinstance(one, types.CodeType):
            # The collector does not know what it holds.
            stack.extend((one.co_consts, one.co_names, one.co_filename, one.co_name, one.co_qualname))
            stack.extend((one.co_linetable, one.co_exceptiontable, *one.co_varnames))
    for place, word in enumerate((*_MARK, (len(listed) - len(_MARK)) // 2)):
        listed[place] = word
    return listed
