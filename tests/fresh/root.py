# SPDX-License-Identifier: BSD-3-Clause
"""A fresh Debian 12 with only git and make, made by debootstrap; runs commands by chroot.

The root gets the host's apt settings: Debian sources, proxies and keys. The base is kept as a tar
file in build-fresh/. Each root is a folder beside it, removed at the end.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDER = TOP / "build-fresh"
CODENAME = "bookworm"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
# Like the Debian installer's file: localhost is also ::1.
HOSTS = """127.0.0.1 localhost
127.0.1.1 fresh
::1 localhost ip6-localhost ip6-loopback
"""
# The limits that pam_limits and systemd set for a root login.
LIMITS = ["prlimit", "--memlock=8388608:8388608", "--nofile=1024:"]
# Mounts that namespaces and DPDK need. They end with the mount namespace.
ENTER = """
set -e
mount --rbind /dev dev
mount --make-rslave dev
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs -o mode=755 run run
mkdir -p run/lock
chroot . "$@"
exit $?
"""


class Failure(Exception):
    """An error that the user can fix."""


def output_of(*command):
    """The standard output of a command; "" if it is not installed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def sources():
    """The host's Debian 12 sources as lines of sources.list, and the mirror of the main archive."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = output_of("apt-get", "indextargets", "--format", form, "Identifier: Packages",
                        "Origin: Debian")
    found = sorted({line for line in targets.split("\n")
                    if line.split()[1:2] and line.split()[1].startswith(CODENAME)})
    if not any(line.split()[1] == CODENAME for line in found):
        found = [f"{DEFAULT_MIRROR} {CODENAME} main"]
    mirror = next(line.split()[0] for line in found if line.split()[1] == CODENAME)
    return [f"deb {line}" for line in found], mirror


def proxies():
    """Proxy settings as environment variables, from the environment and from apt."""
    found = {name: value for name, value in os.environ.items()
             if name.lower() in ("http_proxy", "https_proxy", "no_proxy")}
    settings = output_of("apt-config", "shell", "http_proxy", "Acquire::http::Proxy", "https_proxy",
                         "Acquire::https::Proxy")
    for line in settings.split("\n"):
        name, _, value = line.partition("=")
        if value.strip("'") not in ("", "DIRECT"):
            found.setdefault(name, value.strip("'"))
    return found


def environment():
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8",
            "TERM": os.environ.get("TERM", "dumb"), **proxies()}


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)


def base():
    """The tar file of a fresh Debian, made on first use."""
    tar = FOLDER / f"{CODENAME}.tar"
    if tar.exists():
        return tar
    lines, mirror = sources()
    include = "git,make" + (",ca-certificates" if any("https:" in line for line in lines) else "")
    print(f"fresh: making a Debian 12 root from {mirror} (about 100 MB, 1 min)", flush=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=FOLDER) as folder:
        log = FOLDER / "debootstrap.log"
        with open(log, "w") as output:
            made = subprocess.run(["debootstrap", "--variant=minbase", f"--include={include}",
                                   CODENAME, folder, mirror], stdout=output, stderr=output,
                                  env=os.environ | proxies(), check=False)
        if made.returncode:
            raise Failure(f"debootstrap failed: see {log}")
        write_apt_settings(pathlib.Path(folder), lines)
        (pathlib.Path(folder) / "etc/hosts").write_text(HOSTS)
        (pathlib.Path(folder) / "etc/hostname").write_text("fresh\n")
        run("tar", "--numeric-owner", "-C", folder, "-cf", f"{tar}.part", ".")
        os.replace(f"{tar}.part", tar)
    return tar


def write_apt_settings(root, lines):
    (root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    kept = ("Acquire::http::", "Acquire::https::", "Acquire::ftp::", "Acquire::Check-",
            "Acquire::Retries", "Acquire::ForceIPv")
    (root / "etc/apt/apt.conf.d/90host").write_text("".join(
        line + "\n" for line in output_of("apt-config", "dump").split("\n")
        if line.startswith(kept)))
    for name in ("auth.conf", "auth.conf.d", "trusted.gpg", "trusted.gpg.d"):
        host = pathlib.Path("/etc/apt", name)
        if host.is_dir():
            shutil.copytree(host, root / "etc/apt" / name, dirs_exist_ok=True)
        elif host.exists():
            shutil.copy(host, root / "etc/apt" / name)
    certificates = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists() and (root / "etc/ssl/certs").is_dir():
        shutil.copy(certificates, root / "etc/ssl/certs/ca-certificates.crt")


class Root:
    """One root with a clean clone of HEAD in /root/millrace."""

    def __enter__(self):
        FOLDER.mkdir(exist_ok=True)
        self._folder = tempfile.mkdtemp(prefix="root-", dir=FOLDER)
        self.path = pathlib.Path(self._folder)
        try:
            run("tar", "--numeric-owner", "-C", self.path, "-xpf", base())
            shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
            self.path.chmod(0o755)
            run("git", "clone", "-q", "--no-hardlinks", TOP, self.path / "root/millrace")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Nothing is mounted here: mounts exist only in the namespaces of the commands.
        run("rm", "-rf", "--one-file-system", self._folder)

    def enter(self, *words):
        """The command line that runs `words` in the clone, like a root login."""
        inside = ["/bin/sh", "-c", 'cd /root/millrace && exec "$@"', "sh", *words]
        return [*LIMITS, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts",
                "/bin/sh", "-c", f'cd "{self.path}"{ENTER}', "sh", *inside]


def first_child(process):
    """The process ID of the first child, or None."""
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    words = path.read_text().split() if path.exists() else []
    return int(words[0]) if words else None


def stop(process):
    """Stops a command of Root.enter() or systemd-nspawn.

    Kills its first child, which is process 1 of a PID namespace. The kernel then kills all others
    in the namespace before the command ends.
    """
    if process.poll() is None:
        os.kill(first_child(process) or process.pid, signal.SIGKILL)
    process.wait()


def check_host():
    """Exits with a message if root rights or tools are missing."""
    if os.geteuid() != 0:
        sys.exit("fresh: needs root for chroot and namespaces: run it with sudo")
    missing = [tool for tool in ("debootstrap", "unshare", "prlimit", "git")
               if not shutil.which(tool)]
    if missing:
        sys.exit(f"fresh: not installed: {' '.join(missing)}: run .ci/deps fresh")
    changed = output_of("git", "-C", str(TOP), "status", "--porcelain", "--untracked-files=no")
    if changed:
        print(f"fresh: tests HEAD; {len(changed.splitlines())} changed files are not included",
              flush=True)
