"""How does a line lead from one node to another, along streets and round corners?"""

from html import escape

from layout import TYPE_SIZE
from source import Untrue
from svg import n
from text import width

# How far along a box its left, right, top and bottom are: across and down, nothing where that is to be chosen.
SIDES = {"l": (0, None), "r": (1, None), "t": (None, 0), "b": (None, 1)}


class Arrow:
    """A line from one node's side to another's, such as ("Service", "r") to ("tasks", "l").

    `at` and `to` say where on the sides it begins and ends, `via` at which coordinates it turns, in its order. `facts` are what
    makes it true where it is not that one end refers to the other: triples of a template and two names that it joins.
    """

    def __init__(self, kind, start, end, label="", via=(), facts=(), at=0.5, to=None, on=None, along=0.5, turned=False):
        self.kind, self.start, self.end, self.label, self.via, self.facts = kind, start, end, label, via, facts
        self.at, self.to, self.on, self.along, self.turned = at, to, on, along, turned

    def __str__(self):
        return f"the arrow from {self.start[0]} to {self.end[0]}"

    def route(self, nodes):
        first, last = self.ends = nodes[self.start[0]], nodes[self.end[0]]
        upright, last_upright = self.start[1] in "tb", self.end[1] in "tb"
        x, y = spot(first, self.start[1], self.at)
        to = self.to
        if to is None:
            to = 0.5
            low, size, here = (last.x, last.w, x) if upright else (last.y, last.h, y)
            if not self.via and upright == last_upright and low + 6 <= here <= low + size - 6:
                to = (here - low) / size  # As straight as it can be.
        end_x, end_y = spot(last, self.end[1], to)
        turns = list(self.via)
        if not turns and upright == last_upright and abs(x - end_x if upright else y - end_y) >= 0.5:
            turns = [(y + end_y) / 2 if upright else (x + end_x) / 2]
        self.points = [(x, y)]
        for turn in turns:
            x, y = (x, turn) if upright else (turn, y)
            self.points.append((x, y))
            upright = not upright
        if upright != last_upright:
            self.points.append((x, end_y) if upright else (end_x, y))
        self.points.append((end_x, end_y))

    def check(self):
        for source, one, other in self.facts or [self.fact()]:
            if one != other and not source.joined(one, other):
                raise Untrue(f"{self} says that {one} and {other} are joined, and {source.name} does not join them")

    def fact(self):
        one, other = self.ends
        return one.source or other.source, one.resource or one.of, other.resource or other.of

    def segments(self):
        return list(zip(self.points, self.points[1:]))

    def segment_boxes(self):
        return [(min(ax, bx), min(ay, by), abs(ax - bx), abs(ay - by)) for (ax, ay), (bx, by) in self.segments()]

    def label_box(self):
        """Left, top, width and height of the label, `along` the segment `on`: in the middle of the longest by default."""
        segments = self.segments()
        (ax, ay), (bx, by) = max(segments, key=lambda ends: distance(*ends)) if self.on is None else segments[self.on]
        w, h = width(self.label, TYPE_SIZE) + 8, 15
        if self.turned:
            w, h = h, w
        return ax + (bx - ax) * self.along - w / 2, ay + (by - ay) * self.along - h / 2, w, h

    def draw(self, out):
        maybe = " maybe" if any(end.maybe for end in self.ends) else ""
        out.add(f'<path class="arrow {self.kind}{maybe}" marker-end="url(#{self.kind})" d="{rounded(self.points)}"/>')

    def draw_label(self, out):
        if not self.label:
            return
        x, y, w, h = self.label_box()
        centre, middle = x + w / 2, y + h / 2
        turn = f' transform="rotate(-90 {n(centre)} {n(middle)})"' if self.turned else ""
        out.rectangle("under", x, y, w, h, 4)
        out.add(f'<text class="label {self.kind} centre" x="{n(centre)}" y="{n(middle + 3.5)}"{turn}>{escape(self.label)}</text>')


def spot(node, side, at):
    """A point on a side: `at` between 0 and 1 along it, or an own coordinate beyond that."""
    across, down = SIDES[side]
    if across is None:
        return (node.x + node.w * at if at <= 1 else at), node.y + node.h * down
    return node.x + node.w * across, (node.y + node.h * at if at <= 1 else at)


def rounded(points, radius=6):
    path = [f"M{n(points[0][0])} {n(points[0][1])}"]
    for before, here, after in zip(points, points[1:], points[2:]):
        near = min(radius, distance(before, here) / 2, distance(here, after) / 2)
        (ax, ay), (bx, by) = towards(here, before, near), towards(here, after, near)
        path.append(f"L{n(ax)} {n(ay)}Q{n(here[0])} {n(here[1])} {n(bx)} {n(by)}")
    return "".join(path) + f"L{n(points[-1][0])} {n(points[-1][1])}"


def distance(one, other):
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def towards(here, there, by):
    part = by / distance(here, there) if distance(here, there) else 0
    return here[0] + (there[0] - here[0]) * part, here[1] + (there[1] - here[1]) * part


def middle_x(node):
    return node.x + node.w / 2


def streets(left, right, count):
    """Where lines may go between two columns."""
    return [left + (right - left) * street / (count + 1) for street in range(1, count + 1)]
