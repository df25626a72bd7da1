/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stddef.h>
#include <string.h>

/* The one code of libre that Linux lacks; its header calls it EAUTH, base/re.h takes that away. */
#define RE_EAUTH 217

static const struct {
	int code;
	const char *text;
} own_errors[] = {
#define X(name, value, text) { value, text },
	AOIDE_ERRORS(X)
#undef X
	{ RE_EAUTH, "the credentials are wrong or missing" },
};

const char *err_text(int err)
{
	const int code = err < 0 ? -err : err;
	const char *text;

	if (!code)
		return "success";

	for (size_t i = 0; i < sizeof(own_errors) / sizeof(own_errors[0]); i++) {
		if (own_errors[i].code == code)
			return own_errors[i].text;
	}

	text = strerrordesc_np(code);
	return text ? text : "unknown error";
}

int err_from_re(int re_err)
{
	if (re_err == RE_EAUTH)
		return -EAUTH;

	return re_err > 0 ? -re_err : re_err;
}
