/* certificates.h - certificates for tests of TLS, made anew in each run: nothing that looks like a key is kept in the project. */
#ifndef TESTS_NET_CERTIFICATES_H
#define TESTS_NET_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    EVP_PKEY *key;
    X509 *certificate;
} Authority;

typedef struct {
    char certificate[128], key[128]; /* paths of PEM files */
    char fingerprint[65];
} Identity;

static void set_name(X509_NAME *name, const char *common_name)
{
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Valid from `from_s` to `to_s` seconds from now. Signed by `issuer`, by itself if that is NULL. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, const char *names, long from_s, long to_s,
                              const Authority *issuer)
{
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)random());
    X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
    set_name(X509_get_subject_name(certificate), name);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer->certificate : certificate));
    X509_set_pubkey(certificate, key);
    if (names)
        add_extension(certificate, NID_subject_alt_name, names);
    else
        add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(certificate, issuer ? issuer->key : key, EVP_sha256());
    return certificate;
}

static Authority make_authority(const char *path)
{
    Authority authority = {.key = EVP_EC_gen("P-256")};
    authority.certificate = make_certificate(authority.key, "test authority", NULL, -100, 86400, NULL);
    FILE *file = fopen(path, "w");
    PEM_write_X509(file, authority.certificate);
    fclose(file);
    return authority;
}

static void free_authority(Authority *authority)
{
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
}

/* `names` as subjectAltName has them: "DNS:localhost,IP:127.0.0.1". */
static Identity make_identity(const char *folder, const char *file_name, const char *names, long from_s, long to_s,
                              const Authority *issuer)
{
    Identity identity;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key, file_name, names, from_s, to_s, issuer);
    snprintf(identity.certificate, sizeof identity.certificate, "%s/%s.pem", folder, file_name);
    snprintf(identity.key, sizeof identity.key, "%s/%s.key", folder, file_name);
    FILE *file = fopen(identity.certificate, "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    file = fopen(identity.key, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    X509_digest(certificate, EVP_sha256(), digest, &size);
    for (unsigned i = 0; i < 32; i++)
        snprintf(identity.fingerprint + 2 * i, 3, "%02x", digest[i]);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return identity;
}

#endif
