/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_CDR_FORMAT_H
#define AOIDE_WEB_CDR_FORMAT_H

#include <stdbool.h>
#include "call/cdr.h"
#include "web/repr.h"
#include "web/text.h"

/*
 * How call records look in the REST API (PUB-05, PLT-59, PLT-60, D-207, D-212, D-242, D-243). Pure.
 */
enum cdr_format { CDR_SUMMARY, CDR_DETAILED, CDR_V3, CDR_BLUES_OUT, CDR_BLUES };

/* "summary", "detailed", "v3_compat", "blues_out", "blues"; -ENOENT. */
int cdr_format_parse(enum cdr_format *ret, const char *name);

struct cdr_printer {
	struct web_text out;
	enum cdr_format format;
	enum web_repr repr;      /* JSON, XML or CSV; ignored by the text formats */
	char separator;          /* CSV: 0 is a comma */
	bool bom;                /* CSV: begins with a byte order mark, for spreadsheets (D-213) */
	const char *category;    /* CDR_BLUES: "out", "in", "local", or NULL for all */
	bool with_tenant;        /* machine users: a column `tenant` */
	bool with_quality;       /* JSON: how each leg sounded; beside what the old API had */
	const char *tenant;      /* of the row that comes */
	unsigned rows;
};

void cdr_print_begin(struct cdr_printer *printer);
void cdr_print_row(struct cdr_printer *printer, const struct cdr *cdr);
void cdr_print_end(struct cdr_printer *printer);

#endif
