"""Where does everything stand? A node tells the size that it needs and is then given a place, which may be larger."""

from source import Untrue
from svg import n
from text import width

CHIP_HEIGHT = 38
TITLE_HEIGHT = 26
PAD = 12
GAP = 8
NAME_SIZE, TYPE_SIZE = 12, 10.5

# Which colour a resource's edge has, by the beginning of its type; the first that fits.
FAMILIES = [
    ("AWS::EC2::SecurityGroup", "guard"), ("AWS::IAM::", "guard"),
    ("AWS::CloudFormation::", "watch"), ("AWS::CloudWatch::", "watch"), ("AWS::Logs::", "watch"), ("AWS::S3::", "watch"),
    ("AWS::SNS::", "watch"),
    ("AWS::EC2::Instance", "compute"), ("AWS::EC2::LaunchTemplate", "compute"),
    ("AWS::EC2::", "network"), ("AWS::ElasticLoadBalancingV2::", "network"),
    ("AWS::", "compute"),
]
FAMILY_WORDS = [
    ("network", "network"), ("compute", "what runs"), ("guard", "permissions, rules"), ("watch", "signals, logs, alarms"),
]


def family(kind):
    return next(word for beginning, word in FAMILIES if kind.startswith(beginning))


class Node:
    key = source = resource = None  # What arrows call it, and what it stands for.
    maybe = False  # Whether it is there only under a condition.
    children = ()
    x = y = w = h = 0

    def put(self, x, y, w, h):
        self.x, self.y, self.w, self.h = x, y, w, h

    def draw(self, out):
        for child in self.children:
            child.draw(out)

    def all(self):
        yield self
        for child in self.children:
            yield from child.all()


class Resource(Node):
    """Anything that is a resource of a template: it takes its place, its type and its condition from there."""

    def __init__(self, source, name):
        self.source, self.resource, self.key = source, name, source.key(name)
        entry = source.place(name)
        self.kind = entry["Type"].removeprefix("AWS::")
        self.family = family(entry["Type"])
        self.condition = entry.get("Condition")
        self.maybe = bool(self.condition)
        self.tag = f"if {self.condition}" if self.condition else ""


class Chip(Resource):
    """A resource with its name and type."""

    def __init__(self, source, name, grow=False):
        super().__init__(source, name)
        self.grow = grow

    def size(self):
        name = width(self.resource, NAME_SIZE, bold=True) + (width(self.tag, TYPE_SIZE) + 10 if self.tag else 0)
        return max(name, width(self.kind, TYPE_SIZE)) + 24, CHIP_HEIGHT

    def draw(self, out):
        middle = self.y + self.h / 2
        out.box("chip", self, 5)
        out.edge(self.family, self.x, self.y + 4, self.h - 8)
        out.text("name", self.x + 13, middle - 4, self.resource)
        out.text("type", self.x + 13, middle + 11, self.kind)
        if self.tag:
            out.text("tag end", self.x + self.w - 9, middle - 4, self.tag)


class Note(Node):
    """What is not a resource: something outside, or something that runs. `of` names what it stands for in a template."""

    def __init__(self, key, title, text="", source=None, of=None, maybe=False, least=0):
        self.key, self.title, self.text, self.source, self.of, self.maybe, self.least = key, title, text, source, of, maybe, least
        if source and of not in {**source.references, **source.parameters}:
            raise Untrue(f"{source.name} has nothing called {of}, for which '{title}' stands")

    def size(self):
        needed = max(width(self.title, NAME_SIZE, bold=True), width(self.text, TYPE_SIZE)) + 32
        return max(needed, self.least), CHIP_HEIGHT if self.text else 26

    def draw(self, out):
        middle, centre = self.y + self.h / 2, self.x + self.w / 2
        out.box("note", self, self.h / 2)
        out.text("name centre", centre, middle - 4 if self.text else middle + 4, self.title)
        if self.text:
            out.text("type centre", centre, middle + 11, self.text)


class Space(Node):
    def __init__(self, w=0, h=0):
        self.needed = w, h

    def size(self):
        return self.needed


class Column(Node):
    """One below the other, all as wide as the column."""

    def __init__(self, *children, gap=GAP):
        self.children, self.gap = children, gap

    def size(self):
        sizes = [child.size() for child in self.children]
        return max(w for w, _ in sizes), sum(h for _, h in sizes) + self.gap * (len(sizes) - 1)

    def put(self, x, y, w, h):
        super().put(x, y, w, h)
        for child in self.children:
            _, high = child.size()
            child.put(x, y, w, high)
            y += high + self.gap


class Row(Node):
    """Side by side; what is left of the width goes to all alike, or between them when `apart`."""

    def __init__(self, *children, gap=GAP, apart=False, same=False):
        self.children, self.gap, self.apart, self.same = children, gap, apart, same

    def widths(self):
        found = [child.size()[0] for child in self.children]
        return [max(found)] * len(found) if self.same else found

    def size(self):
        return sum(self.widths()) + self.gap * (len(self.children) - 1), max(child.size()[1] for child in self.children)

    def put(self, x, y, w, h):
        super().put(x, y, w, h)
        left = w - self.size()[0]
        share = 0 if self.apart else left / len(self.children)
        between = self.gap + (left / (len(self.children) - 1) if self.apart else 0)
        for child, wide in zip(self.children, self.widths(), strict=True):
            stretches = isinstance(child, Frame) or getattr(child, "grow", False)
            child.put(x, y, wide + share, h if stretches else child.size()[1])
            x += wide + share + between


class Frame(Node):
    """A box around others: a resource that others are in, or a group with a title, of which all may depend on one condition."""

    def __init__(self, title, *children, style="group", condition=None, gap=GAP, key=None, kind=""):
        self.style = style
        self.content = Column(*children, gap=gap)
        self.children = (self.content,)
        if isinstance(title, Resource):
            self.source, self.resource, self.key = title.source, title.resource, title.key
            self.title, self.kind, self.tag, condition = title.resource, title.kind, title.tag, title.condition
        else:
            self.key = key or title
            self.title, self.kind, self.tag = title, kind, f"if {condition}" if condition else ""
        self.maybe = bool(condition)
        for chip in self.chips() if condition else []:
            if chip.condition != condition:
                raise Untrue(f"{chip.resource} stands among what is there if {condition}; its own condition is {chip.condition}")
            chip.tag = ""  # The frame says it.

    def chips(self):
        """The chips in this frame, and not in another one inside."""
        ahead = [self.content]
        while ahead:
            node = ahead.pop()
            if isinstance(node, Chip):
                yield node
            ahead += [child for child in node.children if not isinstance(child, Frame)]

    def check(self):
        for inside in self.content.all() if self.resource else []:
            if inside.resource and not self.source.belongs(inside.resource, self.resource):
                raise Untrue(f"{inside.resource} stands in {self.resource}, with which {self.source.name} does not join it")

    def title_width(self):
        parts = width(self.title, NAME_SIZE, bold=True), width(self.kind, TYPE_SIZE), width(self.tag, TYPE_SIZE)
        return sum(part + 10 for part in parts if part)

    def size(self):
        w, h = self.content.size()
        return max(w, self.title_width()) + 2 * PAD, h + TITLE_HEIGHT + PAD

    def put(self, x, y, w, h):
        super().put(x, y, w, h)
        self.content.put(x + PAD, y + TITLE_HEIGHT, w - 2 * PAD, h - TITLE_HEIGHT - PAD)

    def draw(self, out):
        out.box(f"frame {self.style}", self, 8)
        name_end = self.x + PAD + width(self.title, NAME_SIZE, bold=True) + 8
        out.text("name", self.x + PAD, self.y + 17, self.title)
        if self.kind:
            out.text("type", name_end, self.y + 17, self.kind)
        if self.tag:
            out.text("tag", name_end + (width(self.kind, TYPE_SIZE) + 8 if self.kind else 0), self.y + 17, self.tag)
        super().draw(out)


class Across(Node):
    """Frames side by side, and above them what lies in both: so a load balancer and a service span two zones."""

    def __init__(self, frames, *spanning):
        self.frames, self.spanning = Row(*frames, gap=10, same=True), Column(*spanning, gap=26)
        self.children = (self.frames, self.spanning)

    def size(self):
        w, h = self.spanning.size()
        frames_w, frames_h = self.frames.size()
        return max(w + 2 * PAD, frames_w), h + frames_h + GAP

    def put(self, x, y, w, h):
        super().put(x, y, w, h)
        self.frames.put(x, y, w, h)
        _, spanning_h = self.spanning.size()
        self.spanning.put(x + PAD, y + TITLE_HEIGHT, w - 2 * PAD, spanning_h)
        # What the frames hold themselves comes below what spans them.
        for frame in self.frames.children:
            content_h = frame.content.size()[1]
            frame.content.put(frame.x + PAD, y + h - PAD - content_h, frame.w - 2 * PAD, content_h)
