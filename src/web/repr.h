/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_REPR_H
#define AOIDE_WEB_REPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "web/text.h"

/*
 * Representations: what an answer looks like (D-222, D-223, PUB-01) and what a body may look like.
 * Pure functions.
 */
enum web_repr { REPR_JSON, REPR_XML, REPR_TEXT, REPR_CSV, REPR_HTML, REPR_COUNT };
const char *web_repr_ctype(enum web_repr repr); /* "application/json" */

#define REPR_MASK(r) (1u << (r))

/*
 * Chooses the representation (RFC 9110 section 12.5.1).
 *
 * accept    the header, NULL: absent
 * offered   mask of what the resource can be
 * fallback  what a missing Accept, or a range that names nothing we know exactly, stands for
 *
 * Returns the choice, or -ENOENT: nothing acceptable (406).
 */
int web_repr_choose(const char *accept, unsigned offered, enum web_repr fallback);

/* Body kinds by Content-Type. */
enum web_body { BODY_NONE, BODY_JSON, BODY_XML, BODY_FORM, BODY_CSV, BODY_OTHER };
enum web_body web_body_kind(const char *content_type);

#define XML_MAX_DEPTH    32
#define XML_MAX_ELEMENTS 100000

/*
 * Parses an XML body: the root's children become the members of an object, elements of one name
 * under one parent an array, <entry> children an array, nil="true" null; all else is text.
 * Documents with a DTD are refused, so that no entity can expand (the "billion laughs").
 *
 * Returns 0, -EINVAL (err_text names line and reason), -ENOMEM.
 */
int web_xml_parse(json_t **ret, const char *text, size_t len, char *err_text, size_t err_size);

#define FORM_MAX_FIELDS 256

/* application/x-www-form-urlencoded: an object of texts; `a[]=1&a[]=2` and `a[b]=c` as PHP clients
 * send them, one level deep. */
int web_form_parse(json_t **ret, const char *text, size_t len, char *err_text, size_t err_size);

/* Prints a value as XML (D-223) under the given root element. */
void web_xml_print(struct web_text *out, const char *root, const json_t *value);

/* First language of Accept-Language that we speak: "it" or "en"; else def. */
const char *web_language(const char *accept_language, const char *def);

#endif
