/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_ERR_H
#define AOIDE_BASE_ERR_H

#include <errno.h>

/*
 * Errors are ints: 0, or a negative errno, or a negative code of our own. Our own codes lie outside
 * errno and outside libre's 200..218.
 */
#define AOIDE_ERRORS(X)                                                                            \
	X(EHANGUP, 4001, "the party hung up")                                                      \
	X(ENOANSWER, 4002, "nobody answered in time")                                              \
	X(ELOCKED, 4003, "another user holds the configuration lock")                              \
	X(EINVALID, 4004, "the value is not valid")                                                \
	X(EINUSE, 4005, "the object is in use")                                                    \
	X(EDUPLICATE, 4006, "the value exists already")                                            \
	X(EFORBIDDEN, 4007, "the caller may not do this")                                          \
	X(EAUTH, 4008, "the credentials are wrong or missing")                                     \
	X(ESTALE_REV, 4009, "the object was changed meanwhile")                                    \
	X(ECORRUPT, 4010, "stored data cannot be read")                                            \
	X(EUNAVAILABLE, 4011, "the other process does not answer")

#define X(name, value, text) name = value,
enum aoide_error { AOIDE_ERRORS(X) };
#undef X

/* Text of an error of ours, of errno or of libre, whatever its sign. Never NULL. Any thread. */
const char *err_text(int err);

/* libre says ENOMEM, we say -ENOMEM: the sign changes here only. */
int err_from_re(int re_err);

#endif
