# SPDX-License-Identifier: BSD-3-Clause
"""Certificates for TLS tests, made by the openssl program."""

import subprocess

CA_CONFIG = """[ca]
default_ca = own
[own]
database = {folder}/index
certificate = {folder}/{name}.crt
private_key = {folder}/{name}.key
default_md = sha256
default_crl_days = 2
"""


class Authority:
    """A CA whose files are in `folder`: NAME.crt, NAME.key, and those that it issues."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate = folder / f"{name}.crt"
        self._openssl("req", "-x509", "-days", "2", *self._new_key(name), "-subj", f"/CN={name}",
                      "-out", self.certificate)
        (folder / "index").touch()
        self.config = folder / f"{name}.cnf"
        self.config.write_text(CA_CONFIG.format(folder=folder, name=name), encoding="ascii")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def _new_key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", self.folder / f"{name}.key")

    def issue(self, name, subject, days=2):
        """Returns the certificate's file and its key's."""
        certificate, request = self.folder / f"{name}.crt", self.folder / f"{name}.csr"
        self._openssl("req", "-new", *self._new_key(name), "-subj", subject, "-out", request)
        self._openssl("x509", "-req", "-days", days, "-in", request, "-CA", self.certificate,
                      "-CAkey", self.folder / f"{self.name}.key", "-CAcreateserial",
                      "-out", certificate)
        return certificate, self.folder / f"{name}.key"

    def revoke(self, certificate):
        """Returns the file of a revocation list with that certificate."""
        revoked = self.folder / f"{self.name}.crl"
        self._openssl("ca", "-config", self.config, "-revoke", certificate)
        self._openssl("ca", "-config", self.config, "-gencrl", "-out", revoked)
        return revoked
