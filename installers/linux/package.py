"""Turns the folder build into a Debian package: renders the icons, fills in what is known only now, calls nfpm."""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path("installers/linux")
PIXELS = (16, 22, 24, 32, 48, 64, 128, 256)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="result of MODE=onedir scripts/build")
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder for the package")
    options = parser.parse_args()
    os.chdir(ROOT)
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    version, release = project["version"], "1"
    architecture = ARCHITECTURES[platform.machine()]

    stage = Path("build/deb")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    render_icons(Path("resources/icons/trayclaw.svg"), stage / "icons")
    write_metainfo(stage / "io.github.trayclaw.TrayClaw.metainfo.xml", version)
    write_copyright(stage / "doc" / "copyright", options.folder)

    target = options.output / f"trayclaw_{version}_{architecture}.deb"
    variables = {
        "ARCHITECTURE": architecture,
        "VERSION": version,
        "RELEASE": release,
        "MAINTAINER": f"{project['authors'][0]['name']} <noreply@localhost>",
        "GLIBC": newest_glibc(options.folder),
        "FOLDER": str(options.folder),
        "STAGE": str(stage),
    }
    nfpm = Path(sys.executable).with_name("nfpm")
    command = [str(nfpm), "package", "--config", str(HERE / "nfpm.yaml"), "--packager", "deb", "--target", str(target)]
    subprocess.run(command, env=os.environ | variables, check=True)
    return 0


def render_icons(drawing: Path, icons: Path) -> None:
    """The drawing itself for those who can scale it, and pictures in the usual sizes for those who cannot."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    application = QGuiApplication([])
    renderer = QSvgRenderer(str(drawing))
    for size in PIXELS:
        image = QImage(size, size, QImage.Format.Format_ARGB32)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        renderer.render(painter)
        painter.end()
        target = icons / f"{size}x{size}" / "apps" / "trayclaw.png"
        target.parent.mkdir(parents=True)
        if not image.save(str(target)):
            raise SystemExit(f"cannot write {target}")
    del application
    scalable = icons / "scalable" / "apps" / "trayclaw.svg"
    scalable.parent.mkdir(parents=True)
    shutil.copyfile(drawing, scalable)


def write_metainfo(target: Path, version: str) -> None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    template = (HERE / "io.github.trayclaw.TrayClaw.metainfo.xml.in").read_text("utf-8")
    target.write_text(template.replace("@VERSION@", version).replace("@DATE@", f"{day:%Y-%m-%d}"), "utf-8")


def write_copyright(target: Path, folder: Path) -> None:
    target.parent.mkdir(parents=True)
    licences = next(folder.rglob("third-party-licences.txt")).read_text("utf-8")
    target.write_text(f"{Path('LICENSE').read_text('utf-8')}\n\nLibraries inside:\n\n{licences}", "utf-8")


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def newest_glibc(folder: Path) -> str:
    """The version of the C library that the build asks for, by the symbol versions of its libraries."""
    libraries = [str(path) for path in folder.rglob("*") if path.is_file() and is_elf(path)]
    output = subprocess.run(["readelf", "-V", *libraries], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"Name: GLIBC_(\d+(?:\.\d+)+)", output)}
    return ".".join(map(str, max(versions)))


if __name__ == "__main__":
    sys.exit(main())
