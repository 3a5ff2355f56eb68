// SPDX-License-Identifier: Apache-2.0
//
// Owners of the crypto library's objects, and its error queue turned into our Error. Internal to this
// folder: no header that others include shows a type of the library.
#pragma once

#include <memory>
#include <string>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "crypto/digest.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::crypto::openssl {

template <typename T, void (*FreeFunction)(T*)>
struct Deleter {
    void operator()(T* object) const { FreeFunction(object); }
};
template <typename T, void (*FreeFunction)(T*)>
using Owned = std::unique_ptr<T, Deleter<T, FreeFunction>>;

inline void free_bio(BIO* bio) {
    BIO_free(bio);
}
inline void free_certificate_stack(STACK_OF(X509) * stack) {
    sk_X509_pop_free(stack, X509_free);
}

using Bio = Owned<BIO, free_bio>;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using Signature = Owned<ECDSA_SIG, ECDSA_SIG_free>;
using Number = Owned<BIGNUM, BN_free>;
using Serial = Owned<ASN1_INTEGER, ASN1_INTEGER_free>;
using Certificate = Owned<X509, X509_free>;
using CertificateStack = Owned<STACK_OF(X509), free_certificate_stack>;
using Name = Owned<X509_NAME, X509_NAME_free>;
using Extension = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using RevocationList = Owned<X509_CRL, X509_CRL_free>;
using Store = Owned<X509_STORE, X509_STORE_free>;
using StoreContext = Owned<X509_STORE_CTX, X509_STORE_CTX_free>;
using Time = Owned<ASN1_TIME, ASN1_TIME_free>;

const EVP_MD* method(Digest::Algorithm algorithm);

// "what: the library's first reason"; empties the queue.
Failure failure(ErrorCode code, const std::string& what);

// Reads from `data`, which must stay.
Result<Bio> reading(ByteView data);
// A buffer that is cleansed when it goes.
Result<Bio> writing();
ByteView written(const Bio& bio);  // valid until the next write

}  // namespace alcove::crypto::openssl
