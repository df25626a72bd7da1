/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_RE_H
#define AOIDE_BASE_RE_H

/*
 * The one door to libre. Its headers need one order and these macros, none of which its pkg-config
 * file gives. Included only in base/, sip/, media/ and call/.
 */
#ifndef HAVE_INTTYPES_H
#define HAVE_INTTYPES_H 1
#endif
#ifndef HAVE_STDBOOL_H
#define HAVE_STDBOOL_H 1
#endif
#ifndef HAVE_INET6
#define HAVE_INET6 1
#endif
#ifndef USE_OPENSSL
#define USE_OPENSSL 1
#endif
#ifndef USE_TLS
#define USE_TLS 1
#endif

/* libre and jansson both name these; nobody uses libre's JSON, so its names step aside. */
#define JSON_STRING RE_JSON_STRING
#define JSON_NULL   RE_JSON_NULL
#include <re/re.h>
#undef JSON_STRING
#undef JSON_NULL

/* libre defines what errno lacks on Linux; this name is an error of ours (base/err.h). */
#undef EAUTH

#endif
