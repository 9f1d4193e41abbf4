"""Is everything in its place, and nothing over anything else? Then it is drawn."""

from typing import NamedTuple

from layout import FAMILY_WORDS, PAD, TITLE_HEIGHT, TYPE_SIZE, Chip, Frame, Note
from source import Untrue
from svg import ARROW_WORDS, MARGIN, Page, document, n
from text import width

HEADING_HEIGHT = 34
LEGEND_LINE = 19


def picture(heading, sources, content, arrows_of):
    """The whole SVG; `arrows_of` gets the nodes, by key, once they have their places."""
    for source in sources:
        if forgotten := sorted(set(source.resources) - source.placed):
            raise Untrue(f"{source.name}: {', '.join(forgotten)} has no place in the picture; "
                         "give it one in deploy/picture/environments.py")
    w, h = content.size()
    content.put(MARGIN, MARGIN + HEADING_HEIGHT, w, h)
    nodes = {node.key: node for node in content.all() if node.key}
    for node in content.all():
        if isinstance(node, Frame):
            node.check()
    arrows = arrows_of(nodes)
    for arrow in arrows:
        arrow.route(nodes)
        arrow.check()
    nothing_covers_another(content, arrows)

    page = Page()
    content.draw(page)
    for arrow in arrows:
        arrow.draw(page)
    for arrow in arrows:
        arrow.draw_label(page)
    legend_height = legend(page, sources, MARGIN, content.y + h + 26, w)
    return document(heading, page, w + 2 * MARGIN, content.y + h + legend_height + 20)


def legend(page, sources, x, y, w):
    """What colours and lines mean, and the conditions in words; returns its height."""
    begun, at = y, x
    for kind, words in ARROW_WORDS:
        page.add(f'<path class="arrow {kind}" marker-end="url(#{kind})" d="M{n(at)} {n(y - 4)}H{n(at + 26)}"/>')
        page.text("small", at + 32, y, words)
        at += 32 + width(words, TYPE_SIZE) + 18
    for kind, words in FAMILY_WORDS:
        page.edge(kind, at, y - 12, 16)
        page.text("small", at + 9, y, words)
        at += 9 + width(words, TYPE_SIZE) + 18
    used = {resource["Condition"]: source
            for source in sources for resource in source.resources.values() if "Condition" in resource}
    words = [f"{condition}: {source.in_words(condition)}" for condition, source in used.items()]
    lines = wrapped(["Types are written without AWS::.", *(["Dashed: only if a condition holds."] if words else []),
                     *(f"{text}." for text in words)], w)
    for line in lines:
        y += LEGEND_LINE
        page.text("small", x, y, line)
    return y - begun + 26


def wrapped(parts, w):
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}  {part}" if lines[-1] else part
        lines = [*lines[:-1], longer] if width(longer, TYPE_SIZE) <= w else [*lines, part]
    return lines


def nothing_covers_another(content, arrows):
    """Arrows pass beside everything but their own ends, and labels lie on nothing that has a text."""
    boxes = [Named(node.key, (node.x, node.y, node.w, node.h)) for node in content.all() if isinstance(node, (Chip, Note))]
    boxes += [Named(node.title, (node.x, node.y, node.title_width() + PAD, TITLE_HEIGHT - 2))
              for node in content.all() if isinstance(node, Frame)]
    for arrow in arrows:
        ends = {node.key for node in arrow.ends}
        if arrow.label and not within(arrow.label_box(), (content.x, content.y, content.w, content.h)):
            raise Untrue(f"the label '{arrow.label}' of {arrow} would lie over the edge")
        for box in boxes:
            if box.name not in ends and any(overlap(segment, box.place) for segment in arrow.segment_boxes()):
                raise Untrue(f"{arrow} would run over {box.name}; lead it round with `via`, or give the places another order")
            if arrow.label and overlap(arrow.label_box(), box.place):
                raise Untrue(f"the label '{arrow.label}' of {arrow} would lie over {box.name}")
        for other in arrows:
            if arrow.label and other is not arrow and any(overlap(arrow.label_box(), box) for box in other.segment_boxes()):
                raise Untrue(f"the label '{arrow.label}' of {arrow} would lie over {other}")


class Named(NamedTuple):
    name: str
    place: tuple  # Left, top, width and height.


def within(one, other):
    return all(other[at] <= one[at] and one[at] + one[at + 2] <= other[at] + other[at + 2] for at in (0, 1))


def overlap(one, other):
    """Whether two boxes have more than an edge in common; a line is a box without width or height."""
    return all(one[at] < other[at] + other[at + 2] - 1 and one[at] + one[at + 2] > other[at] + 1 for at in (0, 1))
