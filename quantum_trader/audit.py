"""`make audit`: known vulnerabilities, licences, and a bill of materials of the locked packages.

Exit status: 0 no vulnerability is known, 1 some are, 2 no vulnerability service answered.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any, cast

BASE_DIR = Path(__file__).resolve().parent.parent
# `make audit` installs the tools there, apart from what the system and its tests run with.
TOOLS = BASE_DIR / "build" / "audit" / "bin"
LOCK, TORCH = BASE_DIR / "requirements.txt", BASE_DIR / "requirements-torch.txt"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", re.MULTILINE)
# Vulnerability services that pip-audit knows. The second is used when the first does not answer.
SERVICES = ("pypi", "osv")
UNKNOWN = "unknown"


def pinned() -> dict[str, str]:
    """Return the version of each locked package by its name, torch included."""
    return dict(PINNED.findall(LOCK.read_text() + TORCH.read_text()))


def vulnerabilities() -> list[str] | None:
    """Return a line for each known vulnerability of the locked packages; None if no service answers."""
    options = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--timeout", "20")
    files = ("--requirement", str(LOCK), "--requirement", str(TORCH))
    for service in SERVICES:
        command = [str(TOOLS / "pip-audit"), *options, *files, "--vulnerability-service", service]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - constants
        if answer.strip():
            packages = json.loads(answer)["dependencies"]
            found = [(package, each) for package in packages for each in package.get("vulns", ())]
            return [f"{of['name']} {of['version']}: {each['id']}, fixed in {fixed_in(each)}" for of, each in found]
    return None


def fixed_in(vulnerability: Mapping[str, Any]) -> str:
    return ", ".join(vulnerability["fix_versions"]) or "no release yet"


def licences(packages: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names of the packages that are installed, by the licence in their metadata."""
    found = defaultdict(list)
    for name in sorted(packages):
        try:
            found[licence_of(cast(Message, metadata.metadata(name)))].append(name)
        except metadata.PackageNotFoundError:  # needed on other platforms only
            continue
    return dict(sorted(found.items()))


def licence_of(described: Message) -> str:
    """Return the licence in a package's metadata: the expression, the classifiers, or a short text."""
    if expression := described.get("License-Expression"):
        return str(expression)
    lines = described.get_all("Classifier") or ()
    classifiers = [line.split(" :: ")[-1] for line in lines if line.startswith("License")]
    text = str(described.get("License") or "").strip()
    return ", ".join(classifiers) or (text if 0 < len(text) <= 60 else UNKNOWN)


def write_bill_of_materials(path: Path) -> None:
    """Write the locked packages with their hashes as CycloneDX JSON."""
    path.parent.mkdir(exist_ok=True)
    command = [str(TOOLS / "cyclonedx-py"), "requirements", str(LOCK), "--output-reproducible"]
    subprocess.run([*command, "--output-file", str(path)], check=True, capture_output=True)  # noqa: S603 - constants


def main() -> int:
    packages = pinned()
    lines = [f"{licence}: {', '.join(names)}" for licence, names in licences(packages).items()]
    bill = BASE_DIR / "build" / "sbom.cdx.json"
    write_bill_of_materials(bill)
    lines.append(f"{len(packages)} packages; the bill of materials is {bill.relative_to(BASE_DIR)}.")
    found = vulnerabilities()
    if found is None:
        lines.append("No vulnerability service answered, so nothing is known about vulnerabilities.")
    else:
        lines += found or ["No vulnerability is known."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 2 if found is None else 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
