/* SPDX-License-Identifier: Apache-2.0 */
#include "app/prepare.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALID_DAYS     825 /* the longest that Apple's clients take from anybody */
#define WARN_DAYS      30
#define MAX_NAMES_TEXT 2048u
#define OUR_MARK       "Aoide self-signed" /* organization of certificates that we may replace */

/* "DNS:localhost,DNS:host,IP:127.0.0.1,..." of everything this machine answers to. */
static void subject_names(char *buf, size_t size, const struct config *config)
{
	char host[256] = "", address[INET6_ADDRSTRLEN];
	struct ifaddrs *list = NULL, *i;
	size_t pos;

	(void)snprintf(buf, size, "DNS:localhost,IP:127.0.0.1,IP:::1");
	if (!gethostname(host, sizeof(host) - 1) && host[0] && strcmp(host, "localhost")) {
		pos = strlen(buf);
		(void)snprintf(buf + pos, size - pos, ",DNS:%s", host);
	}
	if (config->advertise) {
		unsigned char raw[sizeof(struct in6_addr)];
		const bool is_ip = inet_pton(AF_INET, config->advertise, raw) == 1 ||
				   inet_pton(AF_INET6, config->advertise, raw) == 1;

		pos = strlen(buf);
		(void)snprintf(buf + pos, size - pos, ",%s:%s", is_ip ? "IP" : "DNS",
			       config->advertise);
	}

	(void)getifaddrs(&list);
	for (i = list; i; i = i->ifa_next) {
		const int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		const void *raw;
		char item[INET6_ADDRSTRLEN + 8];

		if (family == AF_INET)
			raw = &((const struct sockaddr_in *)i->ifa_addr)->sin_addr;
		else if (family == AF_INET6)
			raw = &((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
		else
			continue;
		if (!inet_ntop(family, raw, address, sizeof(address)))
			continue;
		(void)snprintf(item, sizeof(item), ",IP:%s", address);
		pos = strlen(buf);
		if (!strstr(buf, item) && pos + strlen(item) < size)
			(void)snprintf(buf + pos, size - pos, "%s", item);
	}
	if (list)
		freeifaddrs(list);
}

static int add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	int ok;

	if (!extension)
		return -EIO;

	ok = X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	return ok ? 0 : -EIO;
}

static int fill(X509 *cert, EVP_PKEY *key, const struct config *config)
{
	char names[MAX_NAMES_TEXT], host[65] = "localhost";
	X509_NAME *name = X509_get_subject_name(cert);
	unsigned char serial[16];
	BIGNUM *number;
	int err;

	(void)gethostname(host, sizeof(host) - 1);
	subject_names(names, sizeof(names), config);

	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return -EIO;
	serial[0] &= 0x7f; /* RFC 5280 section 4.1.2.2: a positive number */
	number = BN_bin2bn(serial, sizeof(serial), NULL);
	if (!number)
		return -ENOMEM;
	(void)BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);

	if (!X509_set_version(cert, X509_VERSION_3) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -3600) ||
	    !X509_gmtime_adj(X509_getm_notAfter(cert), (long)VALID_DAYS * 86400) ||
	    !X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)OUR_MARK, -1,
					-1, 0) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)host, -1, -1,
					0) ||
	    !X509_set_issuer_name(cert, name) || !X509_set_pubkey(cert, key))
		return -EIO;

	err = add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	if (err)
		return err;
	err = add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign");
	if (err)
		return err;
	err = add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth");
	if (err)
		return err;
	err = add_extension(cert, NID_subject_alt_name, names);
	if (err)
		return err;

	return X509_sign(cert, key, EVP_sha256()) ? 0 : -EIO;
}

static int write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
	char tmp[PATH_MAX];
	FILE *file;
	int fd, err = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = mkostemp(tmp, O_CLOEXEC); /* 0600: the key is in it */
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		err = -errno;
		(void)close(fd);
		goto out;
	}

	if (!PEM_write_X509(file, cert) ||
	    !PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) || fflush(file))
		err = -EIO;
	if (fclose(file) && !err)
		err = -errno;
	if (!err && rename(tmp, path))
		err = -errno;

out:
	if (err)
		(void)unlink(tmp);
	return err;
}

static int make(const char *path, const struct config *config)
{
	/* EC P-256: every phone and browser of the last ten years takes it, and it signs 20 times
	 * faster than RSA when a thousand phones come back at once. */
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	int err;

	err = key && cert ? fill(cert, key, config) : -ENOMEM;
	if (!err)
		err = write_pem(path, cert, key);
	if (!err)
		log_info("tls.made", "a self-signed certificate was made", kv_text("file", path));

	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

static bool is_ours(X509 *cert)
{
	char organization[64] = "";

	(void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_organizationName, organization,
					sizeof(organization));
	return !strcmp(organization, OUR_MARK);
}

int prepare_certificate(const struct config *config)
{
	char path[PATH_MAX];
	FILE *file = fopen(config_path(path, sizeof(path), config, CONFIG_TLS_CERT), "re");
	X509 *cert = NULL;
	int days = 0, seconds = 0, err = 0;

	if (!file && errno == ENOENT) {
		err = make(path, config);
		goto out;
	}
	if (!file) {
		err = -errno;
		goto out;
	}

	cert = PEM_read_X509(file, NULL, NULL, NULL);
	(void)fclose(file);
	if (!cert) {
		err = -ECORRUPT;
		goto out;
	}
	(void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert));
	if (days < WARN_DAYS && is_ours(cert))
		err = make(path, config);
	else if (days < WARN_DAYS)
		log_warn("tls.expires", "the certificate runs out: put a new one in its place",
			 kv_text("file", path), kv_int("days", days));

out:
	if (err)
		log_error("tls.certificate",
			  "the certificate cannot be used: put a PEM file with certificate and key there, "
			  "or remove it and one is made",
			  kv_text("file", path), kv_err(err));
	X509_free(cert);
	ERR_clear_error();
	return err;
}
