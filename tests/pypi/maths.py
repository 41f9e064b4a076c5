"""Mathematics, and structures to compute with."""

from right import gives


@gives(("x**3/3", ["-sqrt(2)", "sqrt(2)"], "1/6"))
def sympy():
    from sympy import Rational, integrate, solve, symbols

    x = symbols("x")
    roots = sorted(map(str, solve(x**2 - 2, x)))
    return str(integrate(x**2, x)), roots, str(Rational(1, 2) - Rational(1, 3))


@gives(("3.14159265358979323846264338328", "1.6449340668"))
def mpmath():
    from mpmath import mp, nstr, pi, zeta

    with mp.workdps(30):
        return nstr(+pi, 30), nstr(zeta(2), 11)


@gives((["a", "c", "d"], 3, [["a", "b", "c", "d"]], ["a", "b", "c", "d"]))
def networkx():
    import networkx

    graph = networkx.DiGraph()
    graph.add_weighted_edges_from([("a", "b", 4), ("a", "c", 1), ("c", "d", 2), ("b", "d", 1)])
    return (
        networkx.dijkstra_path(graph, "a", "d"),
        networkx.dijkstra_path_length(graph, "a", "d"),
        [sorted(part) for part in networkx.weakly_connected_components(graph)],
        list(networkx.lexicographical_topological_sort(graph)),
    )


@gives(([[1, 2], [3]], [(1, 2), (2, 3)], 1))
def more_itertools():
    from more_itertools import chunked, one, windowed

    return list(chunked([1, 2, 3], 2)), list(windowed([1, 2, 3], 2)), one([1])


@gives(({1: ["a", "b"], 2: ["cc"]}, 12))
def toolz():
    from toolz import compose, groupby, pipe

    return groupby(len, ["a", "b", "cc"]), pipe(5, compose(lambda n: n * 2, lambda n: n + 1))


@gives(([1, 2, 3], 1, ["a", "b"]))
def sortedcontainers():
    from sortedcontainers import SortedDict, SortedList

    numbers = SortedList([3, 1, 2])
    return list(numbers), numbers.bisect_left(2), list(SortedDict(b=1, a=2))


@gives(({"a": [2, {"b": 4}]}, [(1, 2), (3, 4)], "1.0K"))
def boltons():
    from boltons.iterutils import chunked, remap
    from boltons.strutils import bytes2human

    def twice(path, key, value):
        return key, value * 2 if isinstance(value, int) else value

    return remap({"a": [1, {"b": 2}]}, visit=twice), chunked([(1, 2), (3, 4)], 2)[0], bytes2human(1024, 1)


@gives(([[0, 2], [1, 3]], {"a": 2}, [1, 2, 3]))
def funcy():
    from funcy import flatten, lsplit, walk_values

    return list(lsplit(lambda n: n % 2 == 0, range(4))), walk_values(lambda n: n + 1, {"a": 1}), list(flatten([1, [2, [3]]]))


@gives(("3.00+/-0.22", "2.0+/-0.5"))
def uncertainties():
    from uncertainties import ufloat

    return str(ufloat(1, 0.1) + ufloat(2, 0.2)), str(ufloat(2, 0.5))


@gives((1.864, "9.8 meter / second ** 2", "DimensionalityError"))
def pint():
    from pint import DimensionalityError, UnitRegistry

    units = UnitRegistry()
    try:
        units("1 meter").to("second")
    except DimensionalityError as error:
        name = type(error).__name__
    return round(units("3 km").to("mile").magnitude, 3), str(units("9.8 m/s^2")), name


@gives([(1, 5, "a"), (4, 9, "b")])
def intervaltree():
    from intervaltree import IntervalTree

    tree = IntervalTree.from_tuples([(1, 5, "a"), (4, 9, "b"), (20, 30, "c")])
    return sorted(tuple(found) for found in tree[4])


@gives(("H", "hydrogen", "ValueDuplicationError"))
def bidict():
    from bidict import ValueDuplicationError, bidict

    elements = bidict({"H": "hydrogen"})
    try:
        elements["h"] = "hydrogen"
    except ValueDuplicationError as error:
        return elements.inverse["hydrogen"], elements["H"], type(error).__name__


@gives(("[1,3] | [5,6)", True, "(3,5)"))
def portion():
    import portion

    both = portion.closed(1, 3) | portion.closedopen(5, 6)
    return str(both), 2 in both, str(portion.open(0, 5) & ~portion.closed(0, 3))


@gives([("a", 0), ("b", 0), ("b", 2), ("a", 3), ("b", 4)])
def simpy():
    import simpy

    seen, environment = [], simpy.Environment()

    def clock(name, every):
        while True:
            seen.append((name, environment.now))
            yield environment.timeout(every)

    environment.process(clock("a", 3))
    environment.process(clock("b", 2))
    environment.run(until=5)
    return seen


@gives(("root\n└── left\n    └── leaf\n", 2))
def treelib():
    from treelib import Tree

    tree = Tree()
    tree.create_node("root", "root")
    tree.create_node("left", "left", parent="root")
    tree.create_node("leaf", "leaf", parent="left")
    return tree.show(stdout=False), tree.depth()


@gives(("/top/left/leaf", ["top", "left", "leaf"], 2))
def anytree():
    from anytree import Node, PreOrderIter

    top = Node("top")
    leaf = Node("leaf", parent=Node("left", parent=top))
    return leaf.separator + leaf.separator.join(n.name for n in leaf.path), [n.name for n in PreOrderIter(top)], top.height
