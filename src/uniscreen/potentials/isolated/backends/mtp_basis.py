"""The basis of moment tensor potentials of a level: Shapeev, Multiscale Model. Simul. 14, 1153 (2016).

Moments M_{μ,ν} = Σ_j f_μ(r_j) n_j^{⊗ν} with n_j = r_j / |r_j| have the level 2 + 4μ + ν. A basis function is a full
contraction of a product of moments whose levels add up to the level of the potential at most: a multigraph without
loops whose vertices are moments, ν being the degree, and whose edges are contracted indices. Products of connected
graphs are the disconnected ones. As in the MLIP code, a product has four moments at most. The tables that come out are
those of the .mtp format: every scalar is built from components of moments by pairwise products.
"""

from __future__ import annotations

import itertools
from math import factorial, prod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MOMENTS = 4
"""In a product; found from published potentials, whose numbers of basis functions are 288 at level 20, 864 at 24."""

Component = tuple[int, int, int]
"""How often x, y and z occur among the indices of a symmetric tensor."""


class Graph(NamedTuple):
    """Vertices (μ, ν), and the number of contracted indices between each pair; ν counts open indices too."""

    vertices: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, ...], ...]

    def open_indices(self) -> tuple[int, ...]:
        """Indices of each vertex that are not contracted."""
        return tuple(nu - sum(row) for (_, nu), row in zip(self.vertices, self.edges, strict=True))

    def first(self, n: int) -> Graph:
        """The graph of the first n vertices."""
        return Graph(self.vertices[:n], tuple(row[:n] for row in self.edges[:n]))

    def permuted(self, order: tuple[int, ...]) -> Graph:
        """The same graph with its vertices in another order."""
        edges = tuple(tuple(self.edges[i][j] for j in order) for i in order)
        return Graph(tuple(self.vertices[i] for i in order), edges)


class Basis(NamedTuple):
    """Tables of the .mtp format.

    Rows (μ, x, y, z) of the moments' components, rows (i, j, factor, k) of the products added to component k, how many
    components there are, and which are the basis functions.
    """

    basic: list[tuple[int, int, int, int]]
    times: list[tuple[int, int, int, int]]
    n_moments: int
    scalars: list[int]


def n_radial_functions(level: int) -> int:
    """Radial functions f_μ that occur in potentials of a level."""
    return (level - 2) // 4 + 1


def make_basis(level: int) -> Basis:
    """The basis of a level, which is even."""
    builder = _Builder(level)
    graphs = connected_graphs(level)
    connected = [(graph_level(graph), len(graph.vertices), builder.scalar(graph)) for graph in graphs]
    scalars = [place for _, place in builder.products(sorted(connected), level)]
    return Basis(builder.basic, builder.times, builder.n_moments, scalars)


def graph_level(graph: Graph) -> int:
    """The sum of its moments' levels."""
    return sum(2 + 4 * mu + nu for mu, nu in graph.vertices)


def connected_graphs(level: int) -> list[Graph]:
    """Connected graphs without open indices of at most a level, one of each kind."""
    found = {
        canonical(Graph(vertices, edges))
        for vertices in _vertex_sets(level)
        for edges in _edge_sets([nu for _, nu in vertices])
        if _is_connected(edges)
    }
    return sorted(found, key=lambda graph: (graph_level(graph), graph))


def canonical(graph: Graph) -> Graph:
    """The first of the graphs that differ by the order of equal vertices only."""
    kinds = [list(places) for _, places in itertools.groupby(range(len(graph.vertices)), graph.vertices.__getitem__)]
    orders = itertools.product(*(itertools.permutations(places) for places in kinds))
    return min(graph.permuted(tuple(itertools.chain(*order))) for order in orders)


def _vertex_sets(level: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Sorted moments that a connected graph of at most a level can have."""
    for mu in range(n_radial_functions(level)):
        yield ((mu, 0),)
    kinds = [(mu, nu) for mu in range(level // 4 + 1) for nu in range(1, level) if 2 * (2 + nu) + 4 * mu <= level]

    def extend(chosen: tuple[tuple[int, int], ...], start: int, left: int) -> Iterator[tuple[tuple[int, int], ...]]:
        n_edges = sum(nu for _, nu in chosen)
        if len(chosen) > 1 and n_edges % 2 == 0 and n_edges >= 2 * (len(chosen) - 1):
            yield chosen
        for place in range(start, len(kinds)):
            cost = 2 + 4 * kinds[place][0] + kinds[place][1]
            if cost <= left and len(chosen) < MAX_MOMENTS:
                yield from extend((*chosen, kinds[place]), place, left - cost)

    yield from extend((), 0, level)


def _edge_sets(degrees: list[int]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Symmetric matrices of natural numbers with zero diagonal and these sums of rows."""
    n = len(degrees)
    matrix = [[0] * n for _ in range(n)]

    def fill(row: int, left: list[int]) -> Iterator[tuple[tuple[int, ...], ...]]:
        if row == n:
            yield tuple(tuple(values) for values in matrix)
            return
        for values in _compositions(left[row], left[row + 1 :]):
            for column, value in enumerate(values, start=row + 1):
                matrix[row][column] = matrix[column][row] = value
            yield from fill(row + 1, [*left[: row + 1], *(a - b for a, b in zip(left[row + 1 :], values, strict=True))])

    yield from fill(0, degrees)


def _compositions(total: int, limits: list[int]) -> Iterator[tuple[int, ...]]:
    """Natural numbers up to the limits with a sum."""
    if not limits:
        if total == 0:
            yield ()
        return
    for value in range(min(total, limits[0]) + 1):
        for rest in _compositions(total - value, limits[1:]):
            yield (value, *rest)


def _is_connected(edges: tuple[tuple[int, ...], ...]) -> bool:
    reached, todo = {0}, [0]
    while todo:
        new = {j for j, value in enumerate(edges[todo.pop()]) if value} - reached
        reached |= new
        todo += new
    return len(reached) == len(edges)


def _components(rank: int) -> list[Component]:
    """Components of a symmetric tensor."""
    return [(x, y, rank - x - y) for x in range(rank, -1, -1) for y in range(rank - x, -1, -1)]


def _n_orders(component: Component) -> int:
    """In how many orders its indices can be written."""
    return factorial(sum(component)) // prod(map(factorial, component))


def _sum(*components: Component) -> Component:
    x, y, z = (sum(axis) for axis in zip(*components, strict=True))
    return x, y, z


class _Builder:
    """Collects the tables; tensors of partly contracted graphs are kept and used again."""

    def __init__(self, level: int) -> None:
        self.basic = [
            (mu, *component)
            for mu in range(n_radial_functions(level))
            for nu in range(max((level - 4 - 4 * mu) // 2, 0) + 1)
            for component in _components(nu)
        ]
        self.places = {row: i for i, row in enumerate(self.basic)}
        self.times: list[tuple[int, int, int, int]] = []
        self.n_moments = len(self.basic)
        self.tensors: dict[Graph, dict[tuple[Component, ...], int]] = {}

    def scalar(self, graph: Graph) -> int:
        """The place of a full contraction, its vertices taken in the order that makes the fewest new components."""
        best = min(map(graph.permuted, itertools.permutations(range(len(graph.vertices)))), key=self._cost)
        return next(iter(self._tensor(best).values()))

    def products(self, connected: list[tuple[int, int, int]], level: int) -> list[tuple[int, int]]:
        """Level and place of all products of scalars (level, number of moments, place), with themselves too."""
        found: list[tuple[int, int]] = []

        def extend(start: int, used: int, n_moments: int, place: int) -> None:
            for i in range(start, len(connected)):
                cost, n, factor = connected[i]
                if used + cost <= level and n_moments + n <= MAX_MOMENTS:
                    new = factor if place < 0 else self._add([(place, factor, 1)])
                    found.append((used + cost, new))
                    extend(i, used + cost, n_moments + n, new)

        extend(0, 0, 0, -1)
        return sorted(found)

    def _cost(self, graph: Graph) -> int:
        """New components on the way to the whole graph."""
        parts = [graph.first(n) for n in range(2, len(graph.vertices) + 1)]
        return sum(
            prod((n + 1) * (n + 2) // 2 for n in part.open_indices()) for part in parts if part not in self.tensors
        )

    def _tensor(self, graph: Graph) -> dict[tuple[Component, ...], int]:
        """The place of each component: for every vertex, which of x, y, z its open indices are."""
        if graph not in self.tensors:
            last = graph.vertices[-1]
            if len(graph.vertices) == 1:
                components = _components(last[1])
                self.tensors[graph] = {(one,): self.places[last[0], *one] for one in components}
            else:
                self.tensors[graph] = self._contracted(graph)
        return self.tensors[graph]

    def _contracted(self, graph: Graph) -> dict[tuple[Component, ...], int]:
        """The tensor of all vertices but the last, contracted with the last."""
        rest, mu = self._tensor(graph.first(len(graph.vertices) - 1)), graph.vertices[-1][0]
        shared = list(itertools.product(*map(_components, graph.edges[-1][:-1])))
        tensor = {}
        for component in itertools.product(*map(_components, graph.open_indices())):
            terms: dict[tuple[int, int], int] = {}
            for summed in shared:
                left = rest[tuple(_sum(a, b) for a, b in zip(component[:-1], summed, strict=True))]
                right = self.places[mu, *_sum(component[-1], *summed)]
                terms[left, right] = terms.get((left, right), 0) + prod(map(_n_orders, summed))
            tensor[component] = self._add([(i, j, factor) for (i, j), factor in terms.items()])
        return tensor

    def _add(self, terms: list[tuple[int, int, int]]) -> int:
        """A new component, the sum of products."""
        self.times += [(i, j, factor, self.n_moments) for i, j, factor in terms]
        self.n_moments += 1
        return self.n_moments - 1
