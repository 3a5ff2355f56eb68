#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our attestation documents against implementations that share no code with ours: Python's cbor2 and
cryptography, and openssl's command. Documents that we make are verified here, documents that are made here are verified by us, and each
fault that a forger could put into one has to be named by its code.

    verify_with_python.py DOCUMENT_TOOL
"""
import datetime
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import unittest

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

TOOL = ""
DOCUMENT_FIELDS = ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data",
                   "nonce"]


def sig_structure(protected, payload):
    return cbor2.dumps(["Signature1", protected, b"", payload])


def raw_to_der(raw):
    return encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))


def certificates_of(document):
    """Leaf first, the root last."""
    return [x509.load_der_x509_certificate(der) for der in [document["certificate"], *document["cabundle"][::-1]]]


def verify_signature(key, protected, payload, signature):
    key.verify(raw_to_der(signature), sig_structure(protected, payload), ec.ECDSA(hashes.SHA384()))


def verify_links(chain):
    """Each is signed by the next and names it; an exception otherwise."""
    for below, above in zip(chain, chain[1:]):
        if below.issuer != above.subject:
            raise InvalidSignature(f"{below.subject} is not from {above.subject}")
        above.public_key().verify(below.signature, below.tbs_certificate_bytes, ec.ECDSA(below.signature_hash_algorithm))


def sign_raw(key, message):
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def tool(*arguments):
    done = subprocess.run([TOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout.strip()


class OurDocument(unittest.TestCase):
    """A document that we make."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.assertEqual(tool("make", self.folder.name), (0, ""))
        with open(os.path.join(self.folder.name, "document"), "rb") as file:
            self.encoded = file.read()
        with open(os.path.join(self.folder.name, "root.der"), "rb") as file:
            self.root = x509.load_der_x509_certificate(file.read())
        self.protected, self.unprotected, self.payload, self.signature = cbor2.loads(self.encoded)
        self.document = cbor2.loads(self.payload)

    def tearDown(self):
        self.folder.cleanup()

    def chain(self):
        return certificates_of(self.document)


class OurDocuments(OurDocument):
    """What we make, taken apart here."""

    def test_the_envelope_is_es384_and_untagged(self):
        self.assertEqual(self.encoded[:8].hex(), "8444a1013822a059")
        self.assertEqual(cbor2.loads(self.protected), {1: -35})
        self.assertEqual(self.unprotected, {})
        self.assertEqual(len(self.signature), 96)

    def test_the_signature_is_the_leafs(self):
        key = self.chain()[0].public_key()
        self.assertEqual(key.curve.name, "secp384r1")
        verify_signature(key, self.protected, self.payload, self.signature)
        with self.assertRaises(InvalidSignature):
            verify_signature(key, self.protected, self.payload + b"\0", self.signature)

    def test_the_fields_are_the_references(self):
        document = self.document
        self.assertEqual(list(document), DOCUMENT_FIELDS)
        self.assertEqual(document["digest"], "SHA384")
        self.assertLess(abs(document["timestamp"] - time.time() * 1000), 60000)
        self.assertEqual((document["public_key"], document["user_data"], document["nonce"]), (None, b"", b"nonce"))
        for der in document["cabundle"] + [document["certificate"]]:
            self.assertLessEqual(len(der), 1024)

    def test_registers_are_computed_alike(self):
        extended = bytes(48)
        for data in (b"first", b"second"):
            extended = hashlib.sha384(extended + data).digest()
        pcrs = self.document["pcrs"]
        self.assertEqual(sorted(pcrs), list(range(17)))
        self.assertEqual(pcrs[16], extended)
        self.assertEqual(pcrs[0], bytes([0x10] * 48))
        self.assertEqual(pcrs[3], bytes(48))

    def test_the_chain_leads_to_the_root(self):
        chain = self.chain()
        self.assertEqual(chain[-1], self.root)
        now = datetime.datetime.utcnow()
        verify_links(chain)
        for depth, certificate in enumerate(chain):
            self.assertLessEqual(certificate.not_valid_before, now)
            self.assertGreater(certificate.not_valid_after, now)
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
            self.assertTrue(constraints.critical)
            self.assertEqual(constraints.value.ca, depth > 0)
            self.assertEqual(usage.value.key_cert_sign, depth > 0)
            self.assertEqual(usage.critical, depth > 0)
        self.assertTrue(chain[0].extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature)
        self.assertEqual(chain[1].extensions.get_extension_for_class(x509.BasicConstraints).value.path_length, 0)


class OpensslsOpinion(OurDocument):
    """The same document before openssl's command: its chain and its signature."""

    def file(self, name, content):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def pem_file(self, name, certificates):
        return self.file(name, b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))

    def openssl(self, *arguments):
        return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)

    def verify_chain(self, leaf, authorities, root):
        return self.openssl("verify", "-CAfile", self.pem_file("root.pem", [root]),
                            "-untrusted", self.pem_file("authorities.pem", authorities),
                            self.pem_file("leaf.pem", [leaf]))

    def test_the_chain_is_valid(self):
        leaf, *authorities = self.chain()
        done = self.verify_chain(leaf, authorities[:-1], self.root)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_chain_is_invalid_under_another_root_or_with_a_gap(self):
        leaf, *authorities = self.chain()
        self.assertNotEqual(self.verify_chain(leaf, authorities[:-1], Authority("root").certificate).returncode, 0)
        self.assertNotEqual(self.verify_chain(leaf, authorities[1:-1], self.root).returncode, 0)

    def test_the_signature_is_the_leafs_by_openssl(self):
        key = self.file("key.pem", self.chain()[0].public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        signature = self.file("signature", raw_to_der(self.signature))
        message = sig_structure(self.protected, self.payload)
        for content, code in ((message, 0), (message + b"\0", 1)):
            done = self.openssl("dgst", "-sha384", "-verify", key, "-signature", signature, self.file("message", content))
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)


def name_of(common_name):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Python"),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """A key and its certificate, made by Python."""

    def __init__(self, name, issuer=None, ca=True, path_length=None, days=(-1, 1), usage=None, critical=None):
        self.key = ec.generate_private_key(ec.SECP384R1())
        now = datetime.datetime.utcnow()
        flags = dict(digital_signature=True, content_commitment=not ca, key_encipherment=False,
                     data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False,
                     decipher_only=False)
        flags.update(usage or {})
        builder = (x509.CertificateBuilder().subject_name(name_of(name))
                   .issuer_name(issuer.certificate.subject if issuer else name_of(name))
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
                   .add_extension(x509.KeyUsage(**flags), critical=ca))
        if critical:
            builder = builder.add_extension(critical, critical=True)
        self.certificate = builder.sign((issuer or self).key, hashes.SHA384())

    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)


class TheirDocuments(unittest.TestCase):
    """What Python makes, verified by us."""

    @classmethod
    def setUpClass(cls):
        cls.root = Authority("root")
        cls.region = Authority("region", cls.root, path_length=1)
        cls.instance = Authority("instance", cls.region, path_length=0)
        cls.leaf = Authority("leaf", cls.instance, ca=False)

    def payload(self, leaf=None, authorities=None, **changes):
        document = {"module_id": "i-python-enc0", "digest": "SHA384", "timestamp": int(time.time() * 1000),
                    "pcrs": {index: bytes([index + 1] * 48) for index in range(16)},
                    "certificate": (leaf or self.leaf).der(),
                    "cabundle": [one.der() for one in (authorities or [self.root, self.region, self.instance])],
                    "public_key": None, "user_data": b"data", "nonce": b"nonce"}
        document.update(changes)
        return document

    def check(self, encoded, root=None, at=None):
        with tempfile.TemporaryDirectory() as folder:
            document, root_file = os.path.join(folder, "document"), os.path.join(folder, "root.der")
            with open(document, "wb") as file:
                file.write(encoded)
            with open(root_file, "wb") as file:
                file.write((root or self.root).der())
            code, output = tool("verify", document, root_file, *([str(at)] if at else []))
            return output.split()[0] if code else output

    def sign(self, payload, leaf=None, protected=None):
        if not isinstance(payload, bytes):
            payload = cbor2.dumps(payload)
        protected = cbor2.dumps({1: -35}) if protected is None else protected
        signature = sign_raw((leaf or self.leaf).key, sig_structure(protected, payload))
        return cbor2.dumps([protected, {}, payload, signature])

    def test_a_good_document_is_verified(self):
        self.assertEqual(self.check(self.sign(self.payload())), "verified")

    def test_an_indefinite_map_and_a_tag_are_taken(self):
        document = self.payload()
        payload = b"\xbf" + b"".join(cbor2.dumps(k) + cbor2.dumps(v) for k, v in document.items()) + b"\xff"
        encoded = self.sign(payload)
        self.assertEqual(self.check(encoded), "verified")
        self.assertEqual(self.check(b"\xd2" + encoded), "verified")

    def test_foreign_names_and_other_orders_are_taken(self):
        document = self.payload()
        self.assertEqual(self.check(self.sign(dict(reversed(list(document.items()))))), "verified")

    def test_another_signer_is_refused(self):
        other = Authority("leaf", self.instance, ca=False)
        self.assertEqual(self.check(self.sign(self.payload(), leaf=other)), "E71")

    def test_a_changed_payload_is_refused(self):
        protected, unprotected, payload, signature = cbor2.loads(self.sign(self.payload()))
        changed = payload.replace(b"i-python", b"i-pYthon")
        self.assertNotEqual(changed, payload)
        self.assertEqual(self.check(cbor2.dumps([protected, unprotected, changed, signature])), "E71")

    def test_another_root_is_refused(self):
        self.assertEqual(self.check(self.sign(self.payload()), root=Authority("root")), "E74")

    def test_another_algorithm_is_refused(self):
        self.assertEqual(self.check(self.sign(self.payload(), protected=cbor2.dumps({1: -7}))), "E70")

    def test_an_expired_link_is_refused(self):
        expired = Authority("instance", self.region, path_length=0, days=(-2, -1))
        leaf = Authority("leaf", expired, ca=False)
        document = self.payload(leaf, [self.root, self.region, expired])
        self.assertEqual(self.check(self.sign(document, leaf)), "E73")
        self.assertEqual(self.check(self.sign(self.payload()), at=int(time.time()) + 3 * 86400), "E73")

    def test_an_authority_below_its_path_length_is_refused(self):
        below = Authority("below", self.instance)
        leaf = Authority("leaf", below, ca=False)
        document = self.payload(leaf, [self.root, self.region, self.instance, below])
        self.assertEqual(self.check(self.sign(document, leaf)), "E72")

    def test_an_issuer_that_is_no_authority_is_refused(self):
        for plain in (Authority("plain", self.region, ca=False), Authority("plain", self.region,
                                                                           usage={"key_cert_sign": False})):
            leaf = Authority("leaf", plain, ca=False)
            document = self.payload(leaf, [self.root, self.region, plain])
            self.assertEqual(self.check(self.sign(document, leaf)), "E72")

    def test_a_leaf_that_may_not_sign_or_is_an_authority_is_refused(self):
        for leaf in (Authority("leaf", self.instance, ca=False, usage={"digital_signature": False}),
                     Authority("leaf", self.instance)):
            self.assertEqual(self.check(self.sign(self.payload(leaf), leaf)), "E72")

    def test_an_unknown_critical_extension_is_refused(self):
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
        leaf = Authority("leaf", self.instance, ca=False, critical=unknown)
        self.assertEqual(self.check(self.sign(self.payload(leaf), leaf)), "E72")

    def test_bundles_in_another_order_or_with_gaps_are_refused(self):
        for bundle in ([self.root, self.instance, self.region], [self.root, self.instance],
                       [self.root, self.region, self.instance, self.region]):
            self.assertEqual(self.check(self.sign(self.payload(authorities=bundle))), "E72")

    def test_fields_against_the_rules_are_refused(self):
        for changes in ({"digest": "SHA256"}, {"timestamp": 0}, {"pcrs": {}}, {"pcrs": {32: bytes(48)}},
                        {"pcrs": {0: bytes(47)}}, {"cabundle": []}, {"public_key": b""}, {"nonce": bytes(1025)},
                        {"module_id": ""}, {"another": 1}, {"timestamp": "now"}, {"user_data": "text"}):
            self.assertEqual(self.check(self.sign(self.payload(**changes))), "E82", changes)

    def test_a_debug_enclave_is_refused(self):
        pcrs = {index: bytes(48) for index in range(16)}
        self.assertEqual(self.check(self.sign(self.payload(pcrs=pcrs))), "E80")

    def test_garbage_is_refused(self):
        for encoded in (b"", b"\xa0", cbor2.dumps([1, 2, 3, 4]), self.sign(b"\x80"), self.sign(self.payload())[:-1]):
            self.assertEqual(self.check(encoded), "E70")


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    unittest.main()
