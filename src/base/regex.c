/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libre's basic regular expressions, compiled once instead of read again for every character.
 *
 * libre takes each address, URI, Via and parameter of a SIP message apart with re_regex(), which
 * reads the expression anew for each place of the text that it tries: a third of the instructions of
 * a busy switch. This function takes its place through the symbol table, as the timers do
 * (base/timer.h). It gives the same results, oddities included; a test compares both. Only what is left
 * in the arguments after a failure is not the same: nobody looks there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

#define MAX_OPS  48 /* libre's longest expression needs 18 */
#define MAX_TEXT 256
#define MAX_CHRS 64 /* of one class, as in libre */

/* Expressions are constants of the program, found by where they are; what does not fit is compiled for
 * each use. */
#define SLOTS  256u
#define PROBES 4u

enum op_type {
	OP_CHAR,  /* one character, in either case */
	OP_CLASS, /* as many of a class as there are, within limits; fills in an argument */
	OP_WRONG, /* the expression makes no sense from here on */
};

struct op {
	uint64_t set[4]; /* OP_CLASS: bit for each byte that belongs to it */
	uint8_t type;
	uint8_t chr; /* OP_CHAR: in lower case */
	uint8_t min;
	bool is_limited; /* to min; else any number above it */
	bool is_quoted;  /* quoted text belongs to the class, whatever is in it */
	bool is_any;     /* every byte belongs to it */
};

struct program {
	const char *expr; /* as a number: what is there may have changed, hence the text */
	char text[MAX_TEXT];
	size_t n;
	char needed; /* a text without this character cannot match; 0: not known */
	struct op ops[MAX_OPS];
};

static _Atomic(struct program *) programs[SLOTS];

static bool has(const struct op *op, uint8_t c)
{
	return op->set[c >> 6] >> (c & 63) & 1;
}

/* tolower() of the C locale, without the call. */
static uint8_t lower_of(char c)
{
	return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* ------------------------------------------------------------------ compiling */

struct range {
	uint8_t min, max;
};

static void fill_set(struct op *op, const struct range *ranges, size_t n, bool negated)
{
	op->is_any = negated && !n && !op->is_quoted;
	memset(op->set, 0, sizeof(op->set));
	for (unsigned c = 0; c < 256; c++) {
		const uint8_t lower = lower_of((char)c);
		bool found = false;

		for (size_t i = 0; i < n && !found; i++)
			found = lower >= ranges[i].min && lower <= ranges[i].max;
		if (found != negated)
			op->set[c >> 6] |= 1ull << (c & 63);
	}
}

/* Reads the class behind '[' up to its ']'; NULL: there is none. */
static const char *read_class(struct op *op, const char *p)
{
	struct range ranges[MAX_CHRS];
	bool negated = false, in_range = false, escaped = false;
	size_t n = 0;

	op->is_quoted = false;
	for (; *p; p++) {
		const uint8_t lower = lower_of(*p);

		if (*p == '\\' && !escaped) {
			escaped = true;
			continue;
		}
		if (!escaped) {
			if (*p == ']') {
				fill_set(op, ranges, n, negated);
				return p + 1;
			}
			if ((*p == '~' || *p == '^') && !n) {
				op->is_quoted = op->is_quoted || *p == '~';
				negated = true;
				continue;
			}
			if (*p == '-' && n && !in_range) {
				in_range = true;
				n--;
				continue;
			}
		}
		escaped = false;
		if (n == MAX_CHRS)
			return NULL;
		ranges[n].max = lower;
		if (!in_range)
			ranges[n].min = lower;
		in_range = false;
		n++;
	}

	return NULL;
}

/* How often: '*', '+', or a digit. */
static bool read_count(struct op *op, char c)
{
	op->is_limited = c >= '1' && c <= '9';
	op->min = op->is_limited ? (uint8_t)(c - '0') : c == '+';

	return op->is_limited || c == '*' || c == '+';
}

/* False: too long for us. */
static bool compile(struct program *prog, const char *expr)
{
	bool escaped = false;

	prog->n = 0;
	prog->needed = '\0';
	for (const char *p = expr; *p;) {
		struct op *op = &prog->ops[prog->n];

		if (*p == '\\' && !escaped) {
			escaped = true;
			p++;
			continue;
		}
		if (prog->n++ == MAX_OPS)
			return false;
		if (*p != '[' || escaped) {
			op->type = OP_CHAR;
			op->chr = lower_of(*p++);
			escaped = false;
			if (op->chr < 'a' || op->chr > 'z')
				prog->needed = (char)op->chr;
			continue;
		}

		op->type = OP_CLASS;
		p = read_class(op, p + 1);
		if (!p || !read_count(op, *p)) {
			op->type = OP_WRONG;
			prog->needed = '\0';
			break;
		}
		p++;
	}

	return true;
}

static struct program *program_alloc(const char *expr)
{
	struct program *prog = strlen(expr) < MAX_TEXT ? malloc(sizeof(*prog)) : NULL;

	if (!prog || !compile(prog, expr)) {
		free(prog);
		return NULL;
	}
	prog->expr = expr;
	strcpy(prog->text, expr);
	return prog;
}

/* The program of an expression, or NULL: none is kept. Programs stay until the process ends. */
static const struct program *find(const char *expr)
{
	const uintptr_t at = (uintptr_t)expr * 0x9e3779b97f4a7c15u >> 32;

	for (unsigned i = 0; i < PROBES; i++) {
		_Atomic(struct program *) *slot = &programs[(at + i) % SLOTS];
		struct program *prog = atomic_load_explicit(slot, memory_order_acquire);
		struct program *none = NULL;

		if (!prog) {
			prog = program_alloc(expr);
			if (prog && !atomic_compare_exchange_strong(slot, &none, prog)) {
				free(prog); /* another thread was faster */
				prog = NULL;
			}
			return prog;
		}
		if (prog->expr == expr)
			return strcmp(prog->text, expr) ? NULL : prog;
	}

	return NULL;
}

/* ------------------------------------------------------------------ matching */

/* Where the quoted or plain text of a class ends. */
static const char *skip_quoted(const struct op *op, const char *p, const char *end)
{
	bool in_quote = false;

	for (; p < end; p++) {
		if (*p == '\\') {
			if (++p == end)
				break;
		} else if (*p == '"') {
			in_quote = !in_quote;
		} else if (!in_quote && !has(op, (uint8_t)*p)) {
			break;
		}
	}

	return p;
}

static bool match_class(const struct op *op, const char **at, const char *end, struct pl *ret)
{
	const char *start = *at, *p = start;
	size_t n;

	if (op->is_limited && (size_t)(end - p) > op->min)
		end = p + op->min;
	if (op->is_quoted) {
		p = skip_quoted(op, p, end);
	} else if (op->is_any) {
		p = end;
	} else {
		while (p < end && has(op, (uint8_t)*p))
			p++;
	}
	*at = p;
	n = (size_t)(p - start);

	/* Quotes around the whole do not count. */
	if (op->is_quoted && n > 1 && start[0] == '"' && p[-1] == '"') {
		start++;
		n -= 2;
	}
	if (n < op->min)
		return false;
	if (ret) {
		ret->p = start;
		ret->l = n;
	}

	return true;
}

/* 0: matches at this place; ENOENT: neither here nor further on; EAGAIN: not here. */
static int match_at(const struct program *prog, const char *p, const char *end, va_list ap)
{
	for (size_t i = 0; i < prog->n; i++) {
		const struct op *op = &prog->ops[i];

		switch ((enum op_type)op->type) {
		case OP_CHAR:
			if (p == end)
				return ENOENT;
			if (lower_of(*p) != op->chr)
				return EAGAIN;
			p++;
			break;
		case OP_CLASS:
			if (!match_class(op, &p, end, va_arg(ap, struct pl *)))
				return EAGAIN;
			break;
		case OP_WRONG:
			return EINVAL;
		}
	}

	return 0;
}

int re_regex(const char *ptr, size_t len, const char *expr, ...)
{
	const struct program *prog;
	struct program once;
	const char *end;
	va_list ap;
	int err = EAGAIN;

	if (!ptr || !expr)
		return EINVAL;
	if (!len)
		return *expr ? ENOENT : 0;

	prog = find(expr);
	if (!prog) {
		if (!compile(&once, expr))
			return EINVAL;
		prog = &once;
	}
	if (prog->needed && !memchr(ptr, prog->needed, len))
		return ENOENT;

	for (end = ptr + len; ptr < end && err == EAGAIN; ptr++) {
		va_start(ap, expr);
		err = match_at(prog, ptr, end, ap);
		va_end(ap);
	}

	return err == EAGAIN ? ENOENT : err;
}
