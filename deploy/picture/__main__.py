"""What does each environment look like? Draws environment-1.svg and environment-2.svg from the templates.

    python deploy/picture [--templates FOLDER] [--out FOLDER]

It refuses to draw when a resource has no place, when a place has no resource, when an arrow or a frame joins what the template
does not join, and when something would lie over something else. So a picture that was drawn is true and can be read.
"""

import argparse
import sys
from pathlib import Path

from environments import draw
from source import Untrue

DEPLOY = Path(__file__).resolve().parents[1]


def main():
    arguments = argparse.ArgumentParser(prog="deploy/picture", description="Draws both environments from their templates.")
    arguments.add_argument("--templates", type=Path, default=DEPLOY / "vpc-ml", help="the folder with the three templates")
    arguments.add_argument("--out", type=Path, default=DEPLOY, help="where the pictures go")
    asked = arguments.parse_args()
    try:
        pictures = draw(asked.templates)
    except (Untrue, OSError) as why:
        sys.exit(f"picture: {why}")
    for name, text in pictures.items():
        (asked.out / name).write_text(text)
        print(asked.out / name)


main()
