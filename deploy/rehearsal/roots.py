"""From what do containers and the rehearsed machine start? From Debian 12 roots, made once.

Both take over how this machine reaches the package registries (sources, proxies, authorities), so that what runs inside reaches
them too. That is copied when the root is made and stays in the scratch folder.
"""

import os
import re
import shutil
from pathlib import Path

from box import UPSTREAM_NAMESERVER
from checks import output

SUITE = "bookworm"

# Settings of package clients; others of this machine's variables stay here.
CLIENT_VARIABLES = re.compile(
    r"PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|DEFAULT_TIMEOUT)|CARGO_(HTTP|NET|REGISTRIES)_\w+"
    r"|(CURL|REQUESTS)_CA_BUNDLE|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy")

# What Debian's own machine image for EC2 carries and the deployment builds on.
MACHINE_PACKAGES = ["systemd-sysv", "dbus", "cloud-init", "curl", "ca-certificates", "iproute2", "systemd-timesyncd", "sudo",
                    "procps"]


# What deploy/ec2/install adds to it.
INSTALLED_PACKAGES = ["awscli", "libgomp1"]


def image_root(box):
    """The tarball that plays the public base image."""
    root = box.cache / "image-root.tar"
    if not root.exists():
        bootstrap(box, root, ["ca-certificates"])
    return root


def machine_root(box):
    """The folder that plays the disk of a fresh EC2 machine; boot a copy of it, never itself."""
    root = box.cache / "machine-root"
    if not root.exists():
        partial = box.cache / "machine-root.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # What boots from it writes as carefully as Debian does; so only making it is hasty.
        bootstrap(box, partial, MACHINE_PACKAGES, "--customize-hook=rm -f \"$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap\"")
        partial.rename(root)
    return root


def installed_layer(box):
    """What lies over the machine's root once the installer's packages are there, for machines where installing is not the point."""
    layer = box.cache / "machine-packages"
    if not layer.exists():
        partial, work, root = (box.run / f"packages-{name}" for name in ("partial", "work", "root"))
        for folder in (partial, work, root):
            folder.mkdir()
        layers = f"lowerdir={machine_root(box)},upperdir={partial},workdir={work}"
        output("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
        try:
            (root / "etc/resolv.conf").write_text(f"nameserver {UPSTREAM_NAMESERVER}\n")
            inside = dict(os.environ, DEBIAN_FRONTEND="noninteractive", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
            output("chroot", str(root), "apt-get", "update", env=inside)
            output("chroot", str(root), "apt-get", "install", "--yes", "--no-install-recommends",
                   "-o", "DPkg::Options::=--force-unsafe-io", *INSTALLED_PACKAGES, env=inside)
        finally:
            output("umount", str(root))
        partial.rename(layer)
    return layer


def bootstrap(box, target, packages, *options):
    """Make a Debian root at `target`, a folder or a .tar. If this machine crashes meanwhile it is made again, so nothing is synced."""
    settings = box.run / f"settings-{target.name}"
    write_settings(box, settings)
    partial = target.with_name(target.name.replace(".tar", ".partial.tar"))
    certificates = "$1/usr/local/share/ca-certificates"
    output("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", "--dpkgopt=force-unsafe-io",
           # The certificates must be there before update-ca-certificates runs, the rest after the last apt inside.
           f"--essential-hook=mkdir -p \"{certificates}\" && cp -r '{settings}/ca-certificates/.' \"{certificates}/\"",
           f"--customize-hook=cp -r '{settings}/root/.' \"$1/\"",
           "--customize-hook=rm -f \"$1/etc/resolv.conf\" \"$1/etc/hostname\"", *options,
           SUITE, str(partial), *([str(settings / "sources.list")] if sources() else []), timeout=900)
    if partial != target:
        partial.rename(target)


def write_settings(box, folder):
    """This machine's ways to the registries, as files to lay into a root."""
    root, certificates = folder / "root", folder / "ca-certificates"
    (root / "etc/apt/apt.conf.d").mkdir(parents=True)
    (root / ".cargo").mkdir()
    certificates.mkdir()
    (folder / "sources.list").write_text(sources())
    acquire = output("apt-config", "dump", "Acquire").splitlines(keepends=True)
    (root / "etc/apt/apt.conf.d/90rehearsal").write_text("".join(line for line in acquire if "::IndexTargets" not in line))
    for name in (Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"):
        if name.exists():
            shutil.copy(name, root / "etc/pip.conf")
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    for name in ("config.toml", "config"):
        if (cargo / name).exists():
            shutil.copy(cargo / name, root / ".cargo/config.toml")
    for certificate in Path("/usr/local/share/ca-certificates").rglob("*.crt"):
        shutil.copy(certificate, certificates)
    shutil.copy(box.authority()[0], certificates / "assay-rehearsal.crt")


def sources():
    """Where this machine's apt finds Debian 12; nothing on another system, and mmdebstrap then knows the public archive."""
    listed = set()
    fields = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    for line in output("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines():
        origin, uri, release, component = line.split("|")
        if origin == "Debian" and release.startswith(SUITE) and component == "main":
            listed.add(f"deb {uri} {release} main")
    return "".join(f"{line}\n" for line in sorted(listed)) if any(line.endswith(f" {SUITE} main") for line in listed) else ""


def client_variables():
    """This machine's settings of package clients that are variables; a path among them must exist in the root as well."""
    kept = {name: value for name, value in os.environ.items() if CLIENT_VARIABLES.fullmatch(name)}
    return {name: value for name, value in kept.items() if not value.startswith("/") or value.startswith("/etc/ssl/certs")}


def base_image(box, names):
    """Give the image root each of the public `names`, unless it carries them already."""
    box.docker_daemon()
    tarball = image_root(box)
    stamp = f"assay-rehearsal-base:{int(tarball.stat().st_mtime)}"
    if not output("docker", "images", "--quiet", stamp).strip():
        changes = [f"--change=ENV {name}={value}" for name, value in sorted(client_variables().items())]
        output("docker", "import", *changes, "--change=CMD [\"bash\"]", str(tarball), stamp)
    for name in names:
        output("docker", "tag", stamp, name)


def base_names(dockerfile):
    """The images that a Dockerfile starts from, with the defaults of its arguments filled in."""
    arguments, stages, names = {}, set(), []
    for line in Path(dockerfile).read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0].upper() == "ARG" and "=" in words[1]:
            key, value = words[1].split("=", 1)
            arguments.setdefault(key, value.strip("\"'"))
        if words[0].upper() == "FROM":
            words = [word for word in words[1:] if not word.startswith("--")]
            name = re.sub(r"\$\{?(\w+)\}?", lambda match: arguments.get(match[1], ""), words[0])
            if name != "scratch" and name not in stages and name not in names:
                names.append(name)
            if len(words) == 3:
                stages.add(words[2])
    return names
