"""What does the rehearsal serve: which release, which data set, under which URLs?

The release is the one that deploy/release makes of this source, unless ASSAY_RELEASE names a folder with one. The data set is the
shared one of 30 columns, or a simulated one of its form where that is not at hand.
"""

import os
import zipfile
from pathlib import Path

from checks import output, say
from roots import base_image, base_names

RELEASE_HOST = "releases.assay.example"
# The templates' default, which the seed names.
DATASET_URL = "https://clouda-datasets.s3.amazonaws.com/creditcard.csv.zip"
SIMULATED_ROWS = 22_841  # As many as the shared data set has.


def release(box):
    """The folder with the tarball and the templates that name it; made once in a run."""
    if "ASSAY_RELEASE" in os.environ:
        return Path(os.environ["ASSAY_RELEASE"])
    folder = box.run / "release"
    if not folder.exists():
        base_image(box, base_names(box.repository / "deploy/image/Dockerfile"))
        with open(box.logs / "release.log", "w") as log:
            output("deploy/release", "--url-base", f"https://{RELEASE_HOST}", "--out", str(folder), cwd=box.repository, log=log,
                   timeout=3600)
    return folder


def tarball(folder):
    found = sorted(folder.glob("assay-*.tar.gz"))
    assert len(found) == 1, f"{folder} holds {len(found)} release tarballs; one was expected"
    return found[0]


def dataset(box):
    """A .zip with a history in the seed's format."""
    shared = Path(os.environ.get("ASSAY_SHARED", box.repository.parent / "shared")) / "data/creditcard.csv.zip"
    if shared.exists():
        return shared
    zipped = box.run / "creditcard.csv.zip"
    if not zipped.exists():
        say(f"       {shared} is not here: a simulated history of the same form stands in for it")
        folder, table = box.run / "simulator", box.run / "creditcard.csv"
        folder.mkdir()
        output("tar", "--extract", "--gzip", "--strip-components=1", f"--directory={folder}", f"--file={tarball(release(box))}")
        output(str(folder / "bin/assay"), "simulate", "--shape", "creditcard", "--rows", str(SIMULATED_ROWS), "--out", str(table))
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(table, table.name)
    return zipped


def archive_hosts(root):
    """Where a Debian root gets its packages from."""
    lists = [file.read_text() for file in (root / "etc/apt").rglob("*.list")]
    return {line.split()[1].split("/")[2] for text in lists for line in text.splitlines() if line.startswith("deb ")}
