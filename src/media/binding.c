/* SPDX-License-Identifier: Apache-2.0 */
#include "media/binding.h"

#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define COOKIE      0x2112a442u
#define HEADER      20
#define METHOD      0x0001
#define MAC_BYTES   20
#define FINGER_XOR  0x5354554eu
#define MAX_ATTRS   32
#define MAX_BYTES   1500
#define USERNAME    65 /* two fragments of ours and theirs; longer ones are not written */

enum attr {
	ATTR_USERNAME = 0x0006, ATTR_INTEGRITY = 0x0008, ATTR_ERROR = 0x0009,
	ATTR_XOR_MAPPED = 0x0020, ATTR_PRIORITY = 0x0024, ATTR_USE_CANDIDATE = 0x0025,
	ATTR_FINGERPRINT = 0x8028, ATTR_CONTROLLED = 0x8029, ATTR_CONTROLLING = 0x802a,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/* CRC-32 of ITU-T V.42, four bits at a time. */
static uint32_t crc32_of(const uint8_t *data, size_t len)
{
	static const uint32_t nibbles[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ nibbles[crc & 15];
		crc = crc >> 4 ^ nibbles[crc & 15];
	}
	return ~crc;
}

/* The length field counts up to the end of the attribute itself when it is computed. */
static void mac_of(uint8_t mac[MAC_BYTES], const uint8_t *data, size_t at, const char *password)
{
	uint8_t copy[MAX_BYTES];
	unsigned len = MAC_BYTES;

	memset(mac, 0, MAC_BYTES);
	if (at > sizeof(copy))
		return;
	memcpy(copy, data, at);
	put16(copy + 2, (uint16_t)(at + 4 + MAC_BYTES - HEADER));
	(void)HMAC(EVP_sha1(), password, (int)strlen(password), copy, at, mac, &len);
}

/* ------------------------------------------------------------------ reading */

bool binding_is(const uint8_t *data, size_t len)
{
	return len >= HEADER && data[0] < 4 && get32(data + 4) == COOKIE;
}

static void read_mapped(struct binding *ret, const uint8_t *value, size_t len, const uint8_t *data)
{
	if (len < 8)
		return;
	if (value[1] == 1) {
		ret->mapped.in = (struct sockaddr_in){ .sin_family = AF_INET };
		for (int i = 0; i < 4; i++)
			((uint8_t *)&ret->mapped.in.sin_addr)[i] = value[4 + i] ^ data[4 + i];
	} else if (value[1] == 2 && len >= 20) {
		ret->mapped.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
		for (int i = 0; i < 16; i++)
			ret->mapped.in6.sin6_addr.s6_addr[i] = value[4 + i] ^ data[4 + i];
	} else {
		return;
	}
	net_addr_set_port(&ret->mapped, get16(value + 2) ^ (COOKIE >> 16));
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

/* False: an attribute that must be understood and is not. */
static bool read_attr(struct binding *ret, uint16_t type, const uint8_t *value, size_t len,
		      const uint8_t *data)
{
	switch (type) {
	case ATTR_USERNAME:
		ret->username = (const char *)value;
		ret->username_len = len;
		break;
	case ATTR_PRIORITY:
		ret->priority = len == 4 ? get32(value) : 0;
		break;
	case ATTR_USE_CANDIDATE:
		ret->use_candidate = true;
		break;
	case ATTR_CONTROLLING:
	case ATTR_CONTROLLED:
		ret->is_controlling = len == 8 && type == ATTR_CONTROLLING;
		ret->is_controlled = len == 8 && type == ATTR_CONTROLLED;
		ret->tie_breaker = len == 8 ? get64(value) : 0;
		break;
	case ATTR_ERROR:
		ret->error = len >= 4 ? (uint16_t)((value[2] & 7) * 100 + value[3]) : 0;
		break;
	case ATTR_XOR_MAPPED:
		read_mapped(ret, value, len, data);
		break;
	case ATTR_INTEGRITY:
		ret->integrity_at = len == MAC_BYTES ? (size_t)(value - 4 - data) : 0;
		break;
	default:
		return type >= 0x8000 || ret->class == BINDING_SUCCESS || ret->class == BINDING_ERROR;
	}
	return true;
}

int binding_parse(struct binding *ret, const uint8_t *data, size_t len)
{
	uint16_t type;
	size_t at = HEADER;
	bool known = true;

	*ret = (struct binding){ 0 };
	if (!binding_is(data, len) || len > MAX_BYTES || get16(data + 2) != len - HEADER || len % 4)
		return -EBADMSG;

	type = get16(data);
	ret->class = (enum binding_class)((type >> 7 & 2) | (type >> 4 & 1));
	memcpy(ret->tid, data + 8, BINDING_TID);

	for (int i = 0; i < MAX_ATTRS && at + 4 <= len; i++) {
		uint16_t attr = get16(data + at), size = get16(data + at + 2);

		if (size > len - at - 4)
			return -EBADMSG;
		if (attr == ATTR_FINGERPRINT) { /* the last one */
			if (size != 4 || at + 8 != len ||
			    get32(data + at + 4) != (crc32_of(data, at) ^ FINGER_XOR))
				return -EBADMSG;
			return (type & ~0x0110) == METHOD && known ? 0 : -ENOTSUP;
		}
		/* What follows the integrity is not covered by it: left out (RFC 8489 section 14.5). */
		if (!ret->integrity_at)
			known = read_attr(ret, attr, data + at + 4, size, data) && known;
		at += 4 + ((size + 3u) & ~3u);
	}
	return -EBADMSG; /* ICE always has a fingerprint */
}

bool binding_is_from(const struct binding *msg, const uint8_t *data, const char *password)
{
	uint8_t mac[MAC_BYTES];

	if (!msg->integrity_at)
		return false;
	mac_of(mac, data, msg->integrity_at, password);
	return !CRYPTO_memcmp(mac, data + msg->integrity_at + 4, MAC_BYTES);
}

/* ------------------------------------------------------------------ writing */

static uint8_t *add(uint8_t *buf, size_t *len, uint16_t type, size_t size)
{
	uint8_t *value = buf + *len + 4;

	put16(buf + *len, type);
	put16(buf + *len + 2, (uint16_t)size);
	memset(value, 0, (size + 3) & ~(size_t)3);
	*len += 4 + ((size + 3) & ~(size_t)3);
	put16(buf + 2, (uint16_t)(*len - HEADER));
	return value;
}

static void add_mapped(uint8_t *buf, size_t *len, const union net_addr *addr)
{
	bool v6 = addr->sa.sa_family == AF_INET6;
	const uint8_t *ip = v6 ? addr->in6.sin6_addr.s6_addr : (const uint8_t *)&addr->in.sin_addr;
	uint8_t *value = add(buf, len, ATTR_XOR_MAPPED, v6 ? 20 : 8);

	value[1] = v6 ? 2 : 1;
	put16(value + 2, net_addr_port(addr) ^ (COOKIE >> 16));
	for (int i = 0; i < (v6 ? 16 : 4); i++)
		value[4 + i] = ip[i] ^ buf[4 + i];
}

size_t binding_write(uint8_t *buf, const struct binding_write *msg)
{
	size_t len = HEADER, n;
	uint8_t *value;

	put16(buf, (uint16_t)(METHOD | (msg->class & 1) << 4 | (msg->class & 2) << 7));
	put16(buf + 2, 0);
	put32(buf + 4, COOKIE);
	memcpy(buf + 8, msg->tid, BINDING_TID);

	if (msg->class == BINDING_REQUEST) {
		n = strnlen(msg->username, USERNAME);
		memcpy(add(buf, &len, ATTR_USERNAME, n), msg->username, n);
		put32(add(buf, &len, ATTR_PRIORITY, 4), msg->priority);
		value = add(buf, &len, msg->controlling ? ATTR_CONTROLLING : ATTR_CONTROLLED, 8);
		put32(value, (uint32_t)(msg->tie_breaker >> 32));
		put32(value + 4, (uint32_t)msg->tie_breaker);
		if (msg->use_candidate)
			(void)add(buf, &len, ATTR_USE_CANDIDATE, 0);
	} else if (msg->class == BINDING_ERROR) {
		value = add(buf, &len, ATTR_ERROR, 4);
		value[2] = (uint8_t)(msg->error / 100);
		value[3] = (uint8_t)(msg->error % 100);
	}
	if (msg->mapped)
		add_mapped(buf, &len, msg->mapped);

	if (msg->password) {
		size_t at = len;

		value = add(buf, &len, ATTR_INTEGRITY, MAC_BYTES);
		mac_of(value, buf, at, msg->password);
	}
	value = add(buf, &len, ATTR_FINGERPRINT, 4);
	put32(value, crc32_of(buf, len - 8) ^ FINGER_XOR);
	return len;
}
