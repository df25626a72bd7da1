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

#include <re/re.h>

/* libre defines what errno lacks on Linux; this name is an error of ours (base/err.h). */
#undef EAUTH

#endif
