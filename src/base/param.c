/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of SIP headers (";tag=1928"), without an expression.
 *
 * libre prints a regular expression with the name in it for each parameter that it looks for. These
 * functions take the place of libre's through the symbol table, as the timers do (base/timer.h), and
 * find the same; a test compares both.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;

	return p;
}

/* The next parameter of this name at or behind p: from its semicolon to the end of the name. */
static bool find_name(struct pl *ret, const char *p, const char *end, const char *name)
{
	const size_t len = strlen(name);

	while (p < end && (p = memchr(p, ';', (size_t)(end - p)))) {
		const char *at = skip_space(p + 1, end);

		if ((size_t)(end - at) >= len && !strncasecmp(at, name, len)) {
			ret->p = p;
			ret->l = (size_t)(at + len - p);
			return true;
		}
		p++;
	}

	return false;
}

/* The end of a value: white space or a semicolon that is not quoted. */
static const char *skip_value(const char *p, const char *end)
{
	bool in_quote = false;

	for (; p < end; p++) {
		if (*p == '\\') {
			if (++p == end)
				break;
		} else if (*p == '"') {
			in_quote = !in_quote;
		} else if (!in_quote && (is_space(*p) || *p == ';')) {
			break;
		}
	}

	return p;
}

int msg_param_decode(const struct pl *pl, const char *name, struct pl *val)
{
	const char *end, *p;
	struct pl found;

	if (!pl || !name || !val)
		return EINVAL;
	if (!pl->p)
		return ENOENT;

	end = pl->p + pl->l;
	for (p = pl->p; find_name(&found, p, end, name); p = found.p + 1) {
		const char *from = skip_space(found.p + found.l, end), *to;

		if (from == end || *from != '=')
			continue;
		from = skip_space(from + 1, end);
		to = skip_value(from, end);
		if (to - from > 1 && *from == '"' && to[-1] == '"') {
			from++;
			to--;
		}
		if (to > from) {
			val->p = from;
			val->l = (size_t)(to - from);
			return 0;
		}
	}

	return ENOENT;
}

int msg_param_exists(const struct pl *pl, const char *name, struct pl *val)
{
	const char *end, *after;
	struct pl found;

	if (!pl || !name || !val)
		return EINVAL;
	if (!pl->p)
		return ENOENT;

	end = pl->p + pl->l;
	if (!find_name(&found, pl->p, end, name))
		return ENOENT;
	after = found.p + found.l;
	if (after < end && !is_space(*after) && *after != ';' && *after != '=')
		return ENOENT; /* the beginning of a longer name */

	*val = found;
	return 0;
}
