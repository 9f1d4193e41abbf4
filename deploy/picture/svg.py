"""What is an SVG that can be read on a light page and on a dark one?"""

from html import escape

# The kinds of arrows, and what the legend says of them.
ARROW_WORDS = [("call", "requests"), ("bring", "code, data, image"), ("tell", "signals and logs")]
MARGIN = 14

# For light surroundings, and below for dark ones.
STYLE = """
text { font-family: Helvetica, Arial, "Liberation Sans", sans-serif; fill: #1f2328 }
.heading { font-size: 17px; font-weight: bold }
.name { font-size: 12px; font-weight: bold }
.type, .tag, .label, .small { font-size: 10.5px; fill: #59636e }
.tag { font-style: italic }
.centre { text-anchor: middle }
.end { text-anchor: end }
.page { fill: #ffffff }
.frame { fill: none; stroke: #afb8c1; stroke-width: 1 }
.region { fill: #f6f8fa; stroke: #8c959f }
.stack { fill: #ffffff; stroke: #8c959f }
.vpc { fill: #f8f5ff; stroke: #a475f9; stroke-width: 1.5 }
.subnet { fill: #ede5ff; stroke: #c297ff }
.group { fill: #ffffff; fill-opacity: .8; stroke: #afb8c1 }
.chip { fill: #ffffff; stroke: #c8ced5; stroke-width: 1 }
.note { fill: #eef1f4; stroke: #8c959f; stroke-width: 1 }
.maybe { stroke-dasharray: 5 3 }
.edge.network { fill: #8250df } .edge.compute { fill: #d9730d } .edge.guard { fill: #cf222e } .edge.watch { fill: #0f8577 }
.arrow { fill: none; stroke-width: 1.6 }
.arrow.call { stroke: #0969da; stroke-width: 2.2 } .arrow.bring { stroke: #bc4c00 } .arrow.tell { stroke: #0f8577 }
.head.call, .label.call { fill: #0969da } .head.bring, .label.bring { fill: #bc4c00 } .head.tell, .label.tell { fill: #0f8577 }
.under { fill: #ffffff; fill-opacity: .88 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .type, .tag, .label, .small { fill: #a3acb6 }
  .page { fill: #0d1117 }
  .frame { stroke: #4b535d }
  .region { fill: #151b23; stroke: #656c76 }
  .stack { fill: #0d1117; stroke: #656c76 }
  .vpc { fill: #17122b; stroke: #8957e5 }
  .subnet { fill: #231a45; stroke: #6639ba }
  .group { fill: #0d1117; fill-opacity: .7; stroke: #4b535d }
  .chip { fill: #1b222b; stroke: #3d444d }
  .note { fill: #262c36; stroke: #656c76 }
  .edge.network { fill: #a371f7 } .edge.compute { fill: #f0883e } .edge.guard { fill: #f85149 } .edge.watch { fill: #39c5bb }
  .arrow.call { stroke: #58a6ff } .arrow.bring { stroke: #f0883e } .arrow.tell { stroke: #39c5bb }
  .head.call, .label.call { fill: #58a6ff } .head.bring, .label.bring { fill: #f0883e } .head.tell, .label.tell { fill: #39c5bb }
  .under { fill: #0d1117 }
}
"""


class Page:
    """An SVG being written."""

    def __init__(self):
        self.lines = []

    def add(self, line):
        self.lines.append(line)

    def box(self, style, node, radius):
        self.rectangle(f"{style} maybe" if node.maybe else style, node.x, node.y, node.w, node.h, radius)

    def edge(self, family, x, y, h):
        self.rectangle(f"edge {family}", x, y, 4, h, 2)

    def rectangle(self, style, x, y, w, h, radius):
        self.add(f'<rect class="{style}" x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}" rx="{n(radius)}"/>')

    def text(self, style, x, y, text):
        self.add(f'<text class="{style}" x="{n(x)}" y="{n(y)}">{escape(text)}</text>')


def n(number):
    """A number as short as it can be written; a tenth of a pixel is nobody's business."""
    return f"{number:.1f}".removesuffix(".0")


def document(heading, page, w, h):
    heads = "".join(
        f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" '
        f'orient="auto"><path class="head {kind}" d="M0 0L8 4L0 8z"/></marker>' for kind, _ in ARROW_WORDS)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {n(w)} {n(h)}" width="{n(w)}" height="{n(h)}" role="img" '
        'aria-labelledby="title">',
        "<!-- Written by deploy/picture from the templates; do not edit. -->",
        f'<title id="title">{escape(heading)}</title>',
        f"<style>{STYLE}</style>",
        f"<defs>{heads}</defs>",
        f'<rect class="page" width="{n(w)}" height="{n(h)}" rx="8"/>',
        f'<text class="heading" x="{MARGIN}" y="{MARGIN + 17}">{escape(heading)}</text>',
        *page.lines, "</svg>", ""])
