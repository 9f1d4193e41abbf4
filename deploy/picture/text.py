"""How wide will a text be? Widths of Helvetica, in thousandths of its size, which Arial and Liberation Sans share."""

WIDTHS = {
    222: "ijl", 278: " !,./:;I[]ft·", 333: "()-`r", 355: '"', 389: "*", 500: "Jckxsvyz", 584: "+<=>~", 611: "FTZ",
    667: "&ABEKPSVXY", 722: "CDHNRUw", 778: "GOQ", 833: "Mm", 889: "%", 944: "W", 1000: "→…", 1015: "@",
}
WIDTH_OF = {character: width for width, characters in WIDTHS.items() for character in characters}
OTHERS = 556  # Digits and most small letters.
BOLD = 1.08


def width(text, size, bold=False):
    return sum(WIDTH_OF.get(character, OTHERS) for character in text) * size / 1000 * (BOLD if bold else 1)
