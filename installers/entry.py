"""Entry point of the frozen executable: sets the environment right before the application starts.

Kept free of heavy imports: it is on the path of `trayclaw --version`.
"""

import os
import sys
from pathlib import Path

SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)


def restore_library_path() -> None:
    """Gives child processes the search path the user had.

    The bootloader points it at the bundled libraries, with which system programs such as git fail. This process is not
    affected: the loader read the variable when the process began.
    https://pyinstaller.org/en/stable/runtime-information.html#ld-library-path-libpath-considerations
    """
    for name in ("LD_LIBRARY_PATH", "LIBPATH"):
        original = os.environ.pop(f"{name}_ORIG", None)
        if original is not None:
            os.environ[name] = original
        elif name in os.environ and hasattr(sys, "_MEIPASS"):
            del os.environ[name]


def find_certificates() -> None:
    """Names the system's CA file to OpenSSL: the bundled library looks where the building machine kept its own."""
    if sys.platform == "win32" or os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return
    bundled = Path(getattr(sys, "_MEIPASS", ""), "certifi", "cacert.pem")
    for path in (*map(Path, SYSTEM_CA_FILES), bundled):
        if path.is_file():
            os.environ["SSL_CERT_FILE"] = str(path)
            return


def add_archives() -> None:
    """Puts the packages that are carried as one archive, to keep the start short, on the search path."""
    sys.path.append(str(Path(getattr(sys, "_MEIPASS", ""), "tzdata.zip")))


if __name__ == "__main__":
    restore_library_path()
    find_certificates()
    add_archives()
    from agent.__main__ import main

    sys.exit(main())
