/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "db/db.h"
#include "web/cdr_format.h"
#include "web/mask.h"
#include "web/period.h"
#include "web/rest.h"
#include "web/web_priv.h"

/* The call register (PUB-04..06, D-242). */
#define CDR_MAX_ROWS 200000 /* of one answer; more needs a shorter period */

struct reading {
	struct rest *rest;
	struct cdr_printer printer;
	bool needs_details;
	unsigned seen;
	const char *q;        /* GUI page: free text, NULL none */
	unsigned skip, take;  /* GUI page; take 0: all */
	unsigned total;
	json_t *tenants;      /* machine users: {"<id>": "<domain>"} */
	struct cdr copy;      /* masked; one record is large, so it is not on the stack */
};

static bool is_own_call(const struct principal *who, const struct cdr *cdr)
{
	const char *own = who->extension;

	return *own && (!strcmp(cdr->caller, own) || !strcmp(cdr->called, own) ||
			!strcmp(cdr->answered_by, own) || !strcmp(cdr->src_extension, own));
}

static void mask_number(char *number, char *name, size_t size)
{
	/* Masked text never becomes a display name, and a name never tells the number (D-046). */
	if (name && !strcmp(name, number))
		*name = '\0';
	mask_digits(number, size);
}

static void mask_record(const struct principal *who, struct cdr *cdr)
{
	bool in = mask_is_external(cdr->source_type), out = mask_is_external(cdr->destination_type);

	if (!mask_needed(who, is_own_call(who, cdr)))
		return;
	if (in)
		mask_number(cdr->caller, cdr->caller_name, sizeof(cdr->caller));
	if (out)
		mask_number(cdr->called, cdr->called_name, sizeof(cdr->called));
	for (size_t i = 0; i < cdr->n_details; i++) {
		struct cdr_detail *step = &cdr->details[i];

		if (in) {
			mask_number(step->source_num, NULL, sizeof(step->source_num));
			mask_number(step->mapped_source_num, NULL, sizeof(step->mapped_source_num));
		}
		if (!mask_is_external(step->destination_type))
			continue;
		mask_number(step->destination_num, NULL, sizeof(step->destination_num));
		mask_number(step->mapped_dst_num, NULL, sizeof(step->mapped_dst_num));
	}
}

static bool matches_text(const struct cdr *cdr, const char *q)
{
	const char *const texts[] = { cdr->caller, cdr->caller_name, cdr->called, cdr->called_name,
				      cdr->answered_by, cdr->unique_id, cdr->status, cdr->gateway_name,
				      cdr->account_code };

	if (!q || !*q)
		return true;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcasestr(texts[i], q))
			return true;
	return false;
}

/* Read before the calls, since a connection runs one query at a time. */
static int read_tenants(struct reading *reading)
{
	struct db_rows *rows = NULL;
	char id[24];
	int err, n;

	if (reading->rest->who->user.tenant_id)
		return 0;
	reading->tenants = json_object();
	err = db_query(&rows, reading->rest->db, "SELECT id, domain FROM \"tenant\"", DB_NO_ARGS);
	if (err)
		return err;
	while ((n = db_next(rows)) > 0) {
		snprintf(id, sizeof(id), "%lld", (long long)db_col_i64(rows, 0));
		json_object_set_new(reading->tenants, id, json_string(db_col_text(rows, 1)));
	}
	db_rows_close(rows);
	return n;
}

/* The calls of a deleted tenant remain, its name does not. */
static const char *tenant_of(struct reading *reading, int64_t tenant_id)
{
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)tenant_id);
	return js_str(reading->tenants, id, "");
}

static int on_row(const struct cdr *cdr, void *arg)
{
	struct reading *reading = arg;

	if (++reading->seen > CDR_MAX_ROWS)
		return 1;
	/* The masked record is what is searched: a search must not tell the hidden digits either. */
	reading->copy = *cdr;
	mask_record(reading->rest->who, &reading->copy);
	if (!matches_text(&reading->copy, reading->q))
		return 0;
	reading->total++;
	if (reading->take && (reading->total <= reading->skip ||
			      reading->total > reading->skip + reading->take))
		return 0;
	if (reading->printer.with_tenant)
		reading->printer.tenant = tenant_of(reading, cdr->tenant_id);
	cdr_print_row(&reading->printer, &reading->copy);
	return reading->printer.out.failed ? 1 : 0;
}

/* Whose calls: all of the tenant for those who may see the register, else one's own (D-242). */
static int set_scope(struct rest *rest, struct cdr_query *query)
{
	query->tenant_id = rest->who->user.tenant_id;
	if (principal_level(rest->who, "call_log_view") >= SCH_LEVEL_LIST)
		return 0;
	if (!*rest->who->extension)
		return rest_problem(rest, -EFORBIDDEN, "forbidden",
				    REST_TEXT(rest, "Senza interno non ci sono chiamate proprie.",
					      "Without an extension there are no calls of one's own."));
	query->extension = rest->who->extension;
	return 0;
}

static void reading_free(struct reading *reading)
{
	web_text_free(&reading->printer.out);
	json_decref(reading->tenants);
	free(reading);
}

static int too_long(struct rest *rest)
{
	return rest_problem(rest, -EBADPATH, "period_too_long",
			    REST_TEXT(rest, "Più di %d chiamate: scegliere un periodo più breve.",
				      "More than %d calls: choose a shorter period."), CDR_MAX_ROWS);
}

static int read_calls(struct reading *reading, struct cdr_query *query)
{
	struct rest *rest = reading->rest;
	int err = set_scope(rest, query);

	if (!err)
		err = read_tenants(reading);
	if (err)
		return err;
	err = cdr_select(rest->db, query, reading->needs_details, on_row, reading);
	if (err < 0)
		return err;
	if (reading->printer.out.failed)
		return -ENOMEM;
	return reading->seen > CDR_MAX_ROWS ? too_long(rest) : 0;
}

/* Answers with all calls of the period in the format of the URL. */
static int answer_calls(struct rest *rest, const char *format_name, struct cdr_query *query)
{
	const char *category = web_arg(rest->req, "category", NULL);
	struct reading *reading;
	enum cdr_format format;
	const char *ctype;
	char separator;
	int err;

	if (cdr_format_parse(&format, format_name))
		return rest_problem(rest, -EBADPATH, "unknown_format",
				    REST_TEXT(rest,
					      "Formato sconosciuto: usare summary, detailed, v3_compat, blues_out o blues.",
					      "Unknown format: use summary, detailed, v3_compat, blues_out or blues."));
	err = rest_separator(rest, &separator);
	if (err)
		return err;
	if (rest->repr == REPR_TEXT && format != CDR_BLUES && format != CDR_BLUES_OUT)
		return -ENOTACCEPTABLE;
	reading = calloc(1, sizeof(*reading));
	if (!reading)
		return -ENOMEM;
	reading->rest = rest;
	reading->needs_details = format == CDR_DETAILED;
	reading->printer = (struct cdr_printer){ .format = format, .repr = rest->repr,
						 .category = category, .separator = separator,
						 .bom = !strcmp(web_arg(rest->req, "bom", ""), "true"),
						 .with_tenant = !rest->who->user.tenant_id };
	cdr_print_begin(&reading->printer);
	err = read_calls(reading, query);
	cdr_print_end(&reading->printer);

	ctype = format == CDR_BLUES || format == CDR_BLUES_OUT ? web_repr_ctype(REPR_TEXT) :
								 web_repr_ctype(rest->repr);
	rest_header(rest, "Cache-Control", "no-store");
	if (!err)
		err = rest_answer_text(rest, 200, ctype, &reading->printer.out);
	reading_free(reading);
	return err;
}

static int bad_date(struct rest *rest, enum period_part part)
{
	static const struct {
		struct sch_label name;
		const char *shape;
	} parts[] = {
		[PERIOD_YEAR] = { { "anno", "year" }, "YYYY, YYYY-YYYY" },
		[PERIOD_MONTH] = { { "mese", "month" }, "MM, MM-MM (01-12)" },
		[PERIOD_DAY] = { { "giorno", "day" }, "DD, DD-DD" },
	};

	return rest_problem(rest, -EBADPATH, "bad_date",
			    REST_TEXT(rest, "La parte %s della data non è valida: usare %s.",
				      "The %s of the date is not valid: use %s."),
			    REST_TEXT(rest, parts[part].name.it, parts[part].name.en),
			    parts[part].shape);
}

int rest_cdr_by_path(struct rest *rest)
{
	const char *format = rest->n_params > 0 ? rest->params[0] : "summary";
	struct cdr_query query = { .unique_id = web_arg(rest->req, "unique_id", NULL) };
	struct period period;
	enum period_part part;

	part = period_parse(&period, rest->n_params > 1 ? rest->params[1] : NULL,
			    rest->n_params > 2 ? rest->params[2] : NULL,
			    rest->n_params > 3 ? rest->params[3] : NULL, clk_wall_us());
	if (part != PERIOD_OK)
		return bad_date(rest, part);
	query.from_us = period.from_us;
	query.to_us = period.to_us;
	return answer_calls(rest, format, &query);
}

/* A moment out of the search body; absent is left alone. */
static int read_moment(struct rest *rest, const json_t *search, const char *name, int64_t *us)
{
	const json_t *value = json_object_get(search, name);

	if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
		return 0;
	if (json_is_string(value) && !period_parse_moment(us, json_string_value(value)))
		return 0;
	return rest_problem(rest, -EBADPATH, "bad_date",
			    REST_TEXT(rest, "%s non è una data: usare AAAA-MM-GG hh:mm:ss.",
				      "%s is not a date: use YYYY-MM-DD hh:mm:ss."), name);
}

/* What is misspelt would otherwise find the calls of a whole month. */
static int check_search(struct rest *rest, json_t *search)
{
	const char *name;
	json_t *value;

	json_object_foreach (search, name, value) {
		if (strcmp(name, "begin") && strcmp(name, "end") && strcmp(name, "unique_id"))
			return rest_problem(rest, -EBADPATH, "unknown_field",
					    REST_TEXT(rest, "Il campo %s non esiste: usare begin, end, unique_id.",
						      "There is no field %s: use begin, end, unique_id."),
					    name);
		if (!strcmp(name, "unique_id") && !json_is_string(value) && !json_is_null(value))
			return rest_problem(rest, -EBADPATH, "bad_value",
					    REST_TEXT(rest, "unique_id è un testo tra virgolette.",
						      "unique_id is a text in quotes."));
	}
	return 0;
}

/* PUB-06: only {format} of the URL counts. The end given is included to its last second. */
int rest_cdr_by_body(struct rest *rest)
{
	const char *format = rest->n_params > 0 ? rest->params[0] : "summary";
	struct cdr_query query = { 0 };
	struct period period;
	json_t *search, *body = NULL;
	int err = rest_body(rest, NULL, &body);

	if (err)
		return err;
	search = json_object_get(body, "cdr");
	if (!json_is_object(search)) {
		err = rest_problem(rest, -EBADBODY, "malformed_body",
				   REST_TEXT(rest, "Il corpo deve contenere l'oggetto cdr.",
					     "The body must hold the object cdr."));
		goto out;
	}
	query.unique_id = js_str(search, "unique_id", NULL);
	err = check_search(rest, search);
	if (!err)
		err = read_moment(rest, search, "begin", &query.from_us);
	if (!err)
		err = read_moment(rest, search, "end", &query.to_us);
	if (err)
		goto out;
	if (query.to_us)
		query.to_us += 1000000;
	if (query.from_us && query.to_us && query.from_us >= query.to_us) {
		err = rest_problem(rest, -EBADPATH, "bad_date",
				   REST_TEXT(rest, "end viene prima di begin.",
					     "end comes before begin."));
		goto out;
	}
	if (!query.from_us && !query.to_us) {
		(void)period_parse(&period, NULL, NULL, NULL, clk_wall_us());
		query.from_us = period.from_us;
		query.to_us = period.to_us;
	}
	err = answer_calls(rest, format, &query);
out:
	json_decref(body);
	return err;
}

/* ------------------------------------------------------------------ the register's page in the GUI */

static int read_unsigned(struct rest *rest, const char *name, unsigned def, unsigned max,
			 unsigned *ret)
{
	const char *text = web_arg(rest->req, name, NULL);
	char *end;
	unsigned long n;

	*ret = def;
	if (!text)
		return 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || !n || n > max)
		return rest_problem(rest, -EBADPATH, "bad_parameter",
				    REST_TEXT(rest, "Il parametro \"%s\" non è valido.",
					      "The parameter \"%s\" is not valid."), name);
	*ret = (unsigned)n;
	return 0;
}

/* ?page&page_size&q&from&to&unique_id: detailed rows, newest first; without from and to this month. */
int rest_cdr_page(struct rest *rest)
{
	const char *from = web_arg(rest->req, "from", NULL), *to = web_arg(rest->req, "to", NULL);
	struct cdr_query query = { .unique_id = web_arg(rest->req, "unique_id", NULL) };
	struct reading *reading;
	struct period period;
	struct web_text out = { 0 };
	unsigned page, page_size;
	int err;

	err = read_unsigned(rest, "page", 1, 1000000, &page);
	if (!err)
		err = read_unsigned(rest, "page_size", 50, 1000, &page_size);
	if (err)
		return err;
	(void)period_parse(&period, NULL, NULL, NULL, clk_wall_us());
	query.from_us = from || to ? 0 : period.from_us;
	query.to_us = from || to ? 0 : period.to_us;
	if ((from && period_parse_moment(&query.from_us, from)) ||
	    (to && period_parse_moment(&query.to_us, to)))
		return rest_problem(rest, -EBADPATH, "bad_date",
				    REST_TEXT(rest, "from e to sono date AAAA-MM-GG hh:mm:ss.",
					      "from and to are dates YYYY-MM-DD hh:mm:ss."));
	reading = calloc(1, sizeof(*reading));
	if (!reading)
		return -ENOMEM;
	reading->rest = rest;
	reading->needs_details = true;
	reading->q = web_arg(rest->req, "q", NULL);
	reading->skip = (page - 1) * page_size;
	reading->take = page_size;
	reading->printer = (struct cdr_printer){ .format = CDR_DETAILED, .repr = REPR_JSON,
						 .with_quality = true, .with_tenant = !rest->who->user.tenant_id };
	cdr_print_begin(&reading->printer);
	err = read_calls(reading, &query);
	cdr_print_end(&reading->printer);
	if (!err) {
		web_text_puts(&out, "{\"items\":");
		web_text_add(&out, reading->printer.out.text, reading->printer.out.len);
		web_text_printf(&out, ",\"page\":%u,\"page_size\":%u,\"total\":%u}", page, page_size,
				reading->total);
		rest_header(rest, "Cache-Control", "no-store");
		err = rest_answer_text(rest, 200, web_repr_ctype(REPR_JSON), &out);
	}
	reading_free(reading);
	return err;
}
