#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Enclave images made and checked by other code than ours: hashlib, zlib, cbor2, cryptography and openssl's
command.

One half builds images here and lets our program describe them; the other lets our program build and sign
images and takes them apart here. The format is written down twice, independently, in two languages.

Usage: eif_vectors_test.py PROBE    (PROBE is alcove_eif_probe)
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zlib

SKIPPED = 77

try:
    import cbor2
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.x509.oid import NameOID
except ImportError as missing:
    print(f"SKIPPED: {missing} (needs python3-cbor2 and python3-cryptography)")
    sys.exit(SKIPPED)

PROBE = ""
NOW = 1704067200  # 2024-01-01
ZERO = bytes(48)
KERNEL, COMMAND_LINE, RAMDISK, SIGNATURE, METADATA = 1, 2, 3, 4, 5
CURVES = {
    "P-256": (ec.SECP256R1(), hashes.SHA256(), -7, 32),
    "P-384": (ec.SECP384R1(), hashes.SHA384(), -35, 48),
    "P-521": (ec.SECP521R1(), hashes.SHA512(), -36, 66),
}


def sha384(data):
    return hashlib.sha384(data).digest()


def pcr(data):
    return sha384(ZERO + sha384(data))


# --- the format, once more -------------------------------------------------------------------------------


def build_eif(version, sections, flags=0):
    """sections: (type, payload) in file order."""
    body = b""
    offsets, sizes = [], []
    for kind, payload in sections:
        offsets.append(548 + len(body))
        sizes.append(len(payload))
        body += struct.pack(">HHQ", kind, 0, len(payload)) + payload
    offsets += [0] * (32 - len(offsets))
    sizes += [0] * (32 - len(sizes))
    head = struct.pack(">4sHHQQHH32Q32QI", b".eif", version, flags, 1 << 30, 2, 0, len(sections), *offsets, *sizes, 0)
    assert len(head) == 544
    return head + struct.pack(">I", zlib.crc32(body, zlib.crc32(head))) + body


def parse_eif(data):
    magic, version, _, _, _, _, count = struct.unpack_from(">4sHHQQHH", data)
    assert magic == b".eif"
    offsets = struct.unpack_from(">32Q", data, 28)
    sizes = struct.unpack_from(">32Q", data, 284)
    (crc,) = struct.unpack_from(">I", data, 544)
    assert crc == zlib.crc32(data[548:], zlib.crc32(data[:544])), "checksum"
    sections = []
    for offset, size in zip(offsets[:count], sizes):
        kind, _, own_size = struct.unpack_from(">HHQ", data, offset)
        assert own_size == size
        sections.append((kind, data[offset + 12 : offset + 12 + size]))
    return version, sections


def measurements(sections):
    base = b"".join(p for k, p in sections if k in (KERNEL, COMMAND_LINE))
    ramdisks = [p for k, p in sections if k == RAMDISK]
    return {
        "PCR0": pcr(base + b"".join(ramdisks)).hex(),
        "PCR1": pcr(base + b"".join(ramdisks[:1])).hex(),
        "PCR2": pcr(b"".join(ramdisks[1:])).hex(),
    }


def parse_newc(data):
    """name -> (mode, nlink, content, fields)"""
    files, position = {}, 0
    while True:
        assert data[position : position + 6] == b"070701", position
        fields = [int(data[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[position + 110 : position + 110 + name_size]
        assert name.endswith(b"\0")
        start = (position + 110 + name_size + 3) & ~3
        position = (start + size + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert len(data) - position < 512
            return files
        files[name[:-1].decode()] = (fields[1], fields[4], data[start : start + size], fields)


# --- signatures ------------------------------------------------------------------------------------------


def make_identity(curve_name, begin=NOW - 86400, end=NOW + 86400):
    curve, digest, _, _ = CURVES[curve_name]
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"), x509.NameAttribute(NameOID.COMMON_NAME, "python")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.utcfromtimestamp(begin))
        .not_valid_after(datetime.datetime.utcfromtimestamp(end))
        .sign(key, digest)
    )
    return key, certificate


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def to_be_signed(protected, payload):
    return cbor2.dumps(["Signature1", protected, b"", payload])


def signature_section(key, certificate, curve_name, pcr0, as_integers=True):
    _, digest, algorithm, width = CURVES[curve_name]
    payload = cbor2.dumps({"register_index": 0, "register_value": list(pcr0)})
    protected = cbor2.dumps({1: algorithm})
    r, s = utils.decode_dss_signature(key.sign(to_be_signed(protected, payload), ec.ECDSA(digest)))
    envelope = cbor2.dumps([protected, {}, payload, r.to_bytes(width, "big") + s.to_bytes(width, "big")])
    form = list if as_integers else bytes
    return cbor2.dumps([{"signing_certificate": form(pem_of(certificate)), "signature": form(envelope)}])


def check_signature(section, curve_name, certificate, pcr0):
    _, digest, algorithm, width = CURVES[curve_name]
    entries = cbor2.loads(section)
    assert len(entries) == 1 and list(entries[0]) == ["signing_certificate", "signature"]
    assert isinstance(entries[0]["signature"], list)
    found = x509.load_pem_x509_certificate(bytes(entries[0]["signing_certificate"]))
    assert der_of(found) == der_of(certificate)
    protected, unprotected, payload, signature = cbor2.loads(bytes(entries[0]["signature"]))
    assert cbor2.loads(protected) == {1: algorithm} and unprotected == {}
    assert cbor2.loads(payload) == {"register_index": 0, "register_value": list(pcr0)}
    assert len(signature) == 2 * width
    r, s = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
    found.public_key().verify(utils.encode_dss_signature(r, s), to_be_signed(protected, payload), ec.ECDSA(digest))


# --- tests -----------------------------------------------------------------------------------------------

META = json.dumps({"ImageName": "vector", "ImageVersion": "1", "CustomMetadata": {"a": [1]}}).encode()


def usual_sections():
    return [
        (KERNEL, os.urandom(100_003)),
        (COMMAND_LINE, b"console=ttyS0 quiet"),
        (METADATA, META),
        (RAMDISK, os.urandom(5_001)),
        (RAMDISK, os.urandom(700_001)),
        (RAMDISK, b"third"),
    ]


class VectorsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, content, mode=0o644):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def probe(self, *arguments, expected=0):
        done = subprocess.run([PROBE, *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, expected, done.stderr)
        return done

    def describe(self, image, expected=0):
        path = self.write("described.eif", image)
        done = self.probe("describe", path, str(NOW), expected=expected)
        return json.loads(done.stdout), done.stderr

    # our program reads what is made here

    def test_measurements_of_every_version(self):
        for version in (2, 3, 4):
            sections = [s for s in usual_sections() if version == 4 or s[0] != METADATA]
            described, _ = self.describe(build_eif(version, sections))
            for name, value in measurements(sections).items():
                self.assertEqual(described["Measurements"][name], value, f"{name} of version {version}")
            self.assertTrue(described["CheckCRC"])
            self.assertEqual(described["EifVersion"], version)
            self.assertFalse(described["IsSigned"])

    def test_one_ramdisk_and_none(self):
        for count in (0, 1):
            sections = usual_sections()[: 3 + count]
            described, _ = self.describe(build_eif(4, sections))
            for name, value in measurements(sections).items():
                self.assertEqual(described["Measurements"][name], value)

    def test_metadata(self):
        described, _ = self.describe(build_eif(4, usual_sections()))
        self.assertEqual(described["ImageName"], "vector")
        self.assertEqual(described["Metadata"]["a"], [1])

    def test_a_wrong_checksum(self):
        image = bytearray(build_eif(4, usual_sections()))
        image[-1] ^= 1
        described, message = self.describe(bytes(image), expected=1)
        self.assertFalse(described["CheckCRC"])
        self.assertIn("checksum", message)

    def test_signatures(self):
        for curve in CURVES:
            for as_integers in (True, False):
                key, certificate = make_identity(curve)
                sections = usual_sections()
                pcr0 = bytes.fromhex(measurements(sections)["PCR0"])
                sections.append((SIGNATURE, signature_section(key, certificate, curve, pcr0, as_integers)))
                described, message = self.describe(build_eif(4, sections))
                self.assertTrue(described["SignatureCheck"], message)
                self.assertEqual(described["Measurements"]["PCR8"], pcr(der_of(certificate)).hex())
                shown = described["SigningCertificate"]
                self.assertEqual(shown["IssuerName"]["commonName"], "python")
                self.assertEqual(shown["Signature"], certificate.signature.hex())

    def test_wrong_signatures(self):
        key, certificate = make_identity("P-384")
        other_key, _ = make_identity("P-384")
        old_key, old_certificate = make_identity("P-384", NOW - 2 * 86400, NOW - 86400)
        sections = usual_sections()
        pcr0 = bytes.fromhex(measurements(sections)["PCR0"])
        for section, reason in (
            (signature_section(key, certificate, "P-384", ZERO), "another PCR0"),
            (signature_section(other_key, certificate, "P-384", pcr0), "not by the certificate"),
            (signature_section(old_key, old_certificate, "P-384", pcr0), "expired"),
            (b"\x80", "empty"),
        ):
            described, message = self.describe(build_eif(4, sections + [(SIGNATURE, section)]), expected=1)
            self.assertFalse(described["SignatureCheck"])
            self.assertIn(reason, message)

    def test_pcr_of_files_and_certificates(self):
        content = os.urandom(12345)
        path = self.write("file", content)
        self.assertEqual(self.probe("pcr", path).stdout.strip(), pcr(content).hex())
        _, certificate = make_identity("P-256")
        path = self.write("certificate.pem", pem_of(certificate))
        self.assertEqual(self.probe("pcr-certificate", path).stdout.strip(), pcr(der_of(certificate)).hex())

    def openssl_pcr(self, *parts):
        """A register as `openssl dgst` computes it, over files."""
        content = self.write("hashed", b"".join(parts))
        digest = subprocess.run(["openssl", "dgst", "-sha384", "-binary", content], capture_output=True, check=True).stdout
        extended = self.write("extended", ZERO + digest)
        printed = subprocess.run(["openssl", "dgst", "-sha384", "-r", extended], capture_output=True, text=True, check=True)
        return printed.stdout.split()[0]

    def test_measurements_by_openssls_command(self):
        sections = usual_sections()
        kernel, command_line, _, boot, *rest = (payload for _, payload in sections)
        described, _ = self.describe(build_eif(4, sections))
        self.assertEqual(described["Measurements"]["PCR0"], self.openssl_pcr(kernel, command_line, boot, *rest))
        self.assertEqual(described["Measurements"]["PCR1"], self.openssl_pcr(kernel, command_line, boot))
        self.assertEqual(described["Measurements"]["PCR2"], self.openssl_pcr(*rest))

    # what our program writes is read here

    def fake_kernel(self):
        kernel = bytearray(os.urandom(0x3000))
        kernel[0x202:0x206] = b"HdrS"
        return bytes(kernel)

    def build(self, name, **changes):
        plan = {
            "kernel": self.write("kernel", self.kernel),
            "command_line": "console=ttyS0",
            "init": self.write("init", b"init program", 0o755),
            "command": ["/bin/app", "an argument"],
            "environment": ["A=1"],
            "version": 4,
            "gzip": 0,
            "name": "built",
            **changes,
        }
        path = self.write("plan.json", json.dumps(plan).encode())
        output = os.path.join(self.folder, name)
        printed = json.loads(self.probe("build", path, output).stdout)
        image = self.read(name)
        version, sections = parse_eif(image)
        for register, value in measurements(sections).items():
            self.assertEqual(printed[register], value)
        self.assertEqual(version, plan["version"])
        return image, sections

    def application_folder(self):
        self.kernel = self.fake_kernel()
        self.write("application/bin/app", b"#!/bin/sh\n", 0o755)
        self.write("application/data/" + "n" * 200, b"x" * 1001)
        os.link(os.path.join(self.folder, "application/bin/app"), os.path.join(self.folder, "application/bin/same"))
        os.symlink("app", os.path.join(self.folder, "application/bin/link"))
        return os.path.join(self.folder, "application")

    def test_a_built_image(self):
        _, sections = self.build("a.eif", directory=self.application_folder())
        self.assertEqual([k for k, _ in sections], [KERNEL, COMMAND_LINE, METADATA, RAMDISK, RAMDISK])
        self.assertEqual(sections[0][1], self.kernel)
        self.assertEqual(sections[1][1], b"console=ttyS0")
        self.assertEqual(json.loads(sections[2][1])["ImageName"], "built")
        boot, application = parse_newc(sections[3][1]), parse_newc(sections[4][1])
        self.assertEqual(boot["init"][2], b"init program")
        self.assertEqual(boot["init"][0], stat.S_IFREG | 0o755)
        self.assertEqual(boot["modules"][2], b"")
        self.assertEqual(application["cmd"][2], b"/bin/app\nan argument\n")
        self.assertEqual(application["env"][2], b"A=1\n")
        self.assertEqual(application["rootfs/bin/app"][2], b"#!/bin/sh\n")
        self.assertEqual(application["rootfs/bin/app"][1], 2)
        self.assertEqual(application["rootfs/bin/same"][3][0], application["rootfs/bin/app"][3][0])
        self.assertEqual(application["rootfs/bin/link"][0], stat.S_IFLNK | 0o777)
        self.assertEqual(application["rootfs/bin/link"][2], b"app")
        self.assertEqual(application["rootfs/data/" + "n" * 200][2], b"x" * 1001)
        for _, (_, _, _, fields) in application.items():
            uid, gid, mtime, device = fields[2], fields[3], fields[5], fields[7:9]
            self.assertEqual((uid, gid, mtime, device), (0, 0, 0, [0, 0]))

    def test_the_same_inputs_give_the_same_bytes(self):
        folder = self.application_folder()
        first, sections = self.build("a.eif", directory=folder, gzip=9)
        for path, _, files in os.walk(folder):
            for file in files:
                os.utime(os.path.join(path, file), (1, 1), follow_symlinks=False)
        second, _ = self.build("b.eif", directory=folder, gzip=9)
        self.assertEqual(first, second)
        self.assertEqual(parse_newc(gzip.decompress(sections[4][1]))["cmd"][2], b"/bin/app\nan argument\n")

    def test_a_tar_is_the_same_as_its_directory(self):
        folder = self.application_folder()
        from_directory, _ = self.build("a.eif", directory=folder)
        for form, mode in ((tarfile.PAX_FORMAT, "w"), (tarfile.GNU_FORMAT, "w:gz"), (tarfile.PAX_FORMAT, "w:xz")):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
                for member in ("bin/app", "bin/same", "bin/link", "data/" + "n" * 200):
                    archive.add(os.path.join(folder, member), arcname="./" + member)
            from_tar, _ = self.build("b.eif", tar=self.write("application.tar", buffer.getvalue()))
            self.assertEqual(from_directory, from_tar)

    def test_signing(self):
        folder = self.application_folder()
        unsigned, _ = self.build("a.eif", directory=folder)
        for curve in CURVES:
            key, certificate = make_identity(curve)
            certificate_path = self.write("certificate.pem", pem_of(certificate))
            key_path = self.write("key.pem", key_pem(key))
            built, sections = self.build("b.eif", directory=folder, certificate=certificate_path, key=key_path)
            self.probe("sign", os.path.join(self.folder, "a.eif"), certificate_path, key_path,
                       os.path.join(self.folder, "c.eif"))
            version, signed_sections = parse_eif(self.read("c.eif"))
            self.assertEqual(version, 4)
            self.assertEqual(sections[:-1], signed_sections[:-1])
            for parsed in (sections, signed_sections):
                self.assertEqual(parsed[-1][0], SIGNATURE)
                pcr0 = bytes.fromhex(measurements(parsed)["PCR0"])
                check_signature(parsed[-1][1], curve, certificate, pcr0)
            self.describe(built)
        self.assertEqual(parse_eif(unsigned)[1], sections[:-1])


if __name__ == "__main__":
    PROBE = sys.argv.pop(1)
    unittest.main()
