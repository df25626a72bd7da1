/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_BINDING_H
#define AOIDE_MEDIA_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/stream.h"

/*
 * STUN binding messages as ICE uses them (RFC 8489, 8445): requests, indications and responses.
 * Strangers send them. Pure functions, nothing is allocated.
 */
#define BINDING_TID   12
#define BINDING_BYTES 256 /* room for any that we write */

enum binding_class { BINDING_REQUEST, BINDING_INDICATION, BINDING_SUCCESS, BINDING_ERROR };

struct binding {
	enum binding_class class;
	uint8_t tid[BINDING_TID];
	const char *username; /* into the data; NULL none */
	size_t username_len;
	uint32_t priority;
	bool use_candidate, is_controlling, is_controlled;
	uint64_t tie_breaker;
	uint16_t error;
	union net_addr mapped; /* of a response; family 0 none */
	size_t integrity_at;   /* where that attribute begins; 0 none */
};

/* True for what RFC 7983 sorts out as STUN and the cookie confirms. */
bool binding_is(const uint8_t *data, size_t len);

/* -EBADMSG: not a whole binding message, or its FINGERPRINT is wrong or missing; -ENOTSUP: another
 * method, or an attribute that must be understood and is not. */
int binding_parse(struct binding *ret, const uint8_t *data, size_t len);

/* MESSAGE-INTEGRITY by a short-term password. */
bool binding_is_from(const struct binding *msg, const uint8_t *data, const char *password);

struct binding_write {
	enum binding_class class;
	const uint8_t *tid;
	const char *username;         /* requests */
	uint32_t priority;
	bool controlling, use_candidate;
	uint64_t tie_breaker;
	const union net_addr *mapped; /* success */
	uint16_t error;               /* error responses: 400, 401, 487 */
	const char *password;         /* NULL: without integrity */
};
/* Returns the length; buf has BINDING_BYTES. */
size_t binding_write(uint8_t *buf, const struct binding_write *msg);

#endif
