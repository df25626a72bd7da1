/* SPDX-License-Identifier: Apache-2.0 */
#include "web/cdr_format.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "web/period.h"

enum kind { TEXT, TIME, FLAG, SPAN_HMS, SPAN_S, BILL, WAITED, SIP_CODE, TENANT };

struct column {
	const char *name;
	enum kind kind;
	size_t offset;
};

#define CALL(n, k, f)   { n, k, offsetof(struct cdr, f) }
#define DETAIL(n, k, f) { "detail_" n, k, offsetof(struct cdr_detail, f) }
#define COUNT(a)        (sizeof(a) / sizeof((a)[0]))

/* PLT-59, in the order of the panel. */
static const struct column summary[] = {
	CALL("unique_id", TEXT, unique_id), CALL("linkedid", TEXT, linkedid),
	CALL("source_type", TEXT, source_type), CALL("destination_type", TEXT, destination_type),
	CALL("status", TEXT, status), CALL("start_datetime", TIME, start_us),
	CALL("channel_up_datetime", TIME, channel_up_us), CALL("answer_datetime", TIME, answer_us),
	CALL("answered_by", TEXT, answered_by), CALL("end_datetime", TIME, end_us),
	CALL("caller", TEXT, caller), CALL("caller_name", TEXT, caller_name),
	CALL("anonymous", FLAG, anonymous), CALL("called", TEXT, called),
	CALL("called_name", TEXT, called_name), CALL("gateway_name", TEXT, gateway_name),
	CALL("account_code", TEXT, account_code), { "duration", SPAN_HMS, 0 }, { "bill_secs", BILL, 0 },
	CALL("src_peer_name", TEXT, src_peer_name), CALL("src_ip_port", TEXT, src_ip_port),
	CALL("src_extension", TEXT, src_extension), CALL("call_uuid", TEXT, call_uuid),
	CALL("sip_code", SIP_CODE, sip_code),
};

/* PLT-60. */
static const struct column detail[] = {
	DETAIL("source_num", TEXT, source_num), DETAIL("anonymous", FLAG, anonymous),
	DETAIL("destination_type", TEXT, destination_type),
	DETAIL("destination_id", TEXT, destination_id),
	DETAIL("destination_name", TEXT, destination_name),
	DETAIL("destination_num", TEXT, destination_num), DETAIL("enter_datetime", TIME, enter_us),
	DETAIL("enqueue_datetime", TIME, enqueue_us), DETAIL("answer_datetime", TIME, answer_us),
	DETAIL("exit_datetime", TIME, exit_us), DETAIL("exit_cause", TEXT, exit_cause),
	DETAIL("answered_by", TEXT, answered_by), { "detail_waiting_time", WAITED, 0 },
	DETAIL("mapped_source_num", TEXT, mapped_source_num),
	DETAIL("mapped_dst_num", TEXT, mapped_dst_num), DETAIL("account_code", TEXT, account_code),
};

/* PUB-05: exactly these, in this order. */
static const struct column v3[] = {
	CALL("id", TEXT, unique_id), CALL("source", TEXT, source_type),
	CALL("start_time", TIME, start_us), CALL("answer_time", TIME, answer_us),
	CALL("end_time", TIME, end_us), CALL("account_code", TEXT, account_code),
	CALL("caller", TEXT, caller), CALL("gateway_name", TEXT, gateway_name),
	CALL("called", TEXT, called), CALL("status", TEXT, status),
	CALL("answered_by", TEXT, answered_by), { "bill_secs", BILL, 0 }, { "duration", SPAN_S, 0 },
	CALL("destination", TEXT, destination_type),
};

static const struct column tenant_column = { "tenant", TENANT, 0 };

int cdr_format_parse(enum cdr_format *ret, const char *name)
{
	static const char *const names[] = { [CDR_SUMMARY] = "summary", [CDR_DETAILED] = "detailed",
					     [CDR_V3] = "v3_compat", [CDR_BLUES_OUT] = "blues_out",
					     [CDR_BLUES] = "blues" };

	for (size_t i = 0; i < COUNT(names); i++) {
		if (strcmp(names[i], name))
			continue;
		*ret = (enum cdr_format)i;
		return 0;
	}
	return -ENOENT;
}

static const struct column *columns_of(enum cdr_format format, size_t *n)
{
	*n = format == CDR_V3 ? COUNT(v3) : COUNT(summary);
	return format == CDR_V3 ? v3 : summary;
}

/* Never below zero (D-212), whatever the clock did. */
static int64_t span_us(int64_t from_us, int64_t to_us)
{
	return from_us && to_us > from_us ? to_us - from_us : 0;
}

static bool is_number(enum kind kind)
{
	return kind == FLAG || kind == SPAN_S || kind == BILL || kind == WAITED || kind == SIP_CODE;
}

/* The value as text into buf or, when it is a text already, where it lies. base: call or detail. */
static const char *value_of(char *buf, size_t size, const struct cdr_printer *printer,
			    const struct column *column, const void *base)
{
	const char *at = (const char *)base + column->offset;
	const struct cdr *cdr = base;
	const struct cdr_detail *step = base;
	int64_t s;

	switch (column->kind) {
	case TEXT:
		return at;
	case TENANT:
		return printer->tenant ? printer->tenant : "";
	case TIME:
		return period_print_moment(buf, size, *(const int64_t *)(const void *)at);
	case FLAG:
		return *(const bool *)at ? "1" : "0";
	case SPAN_HMS:
		s = span_us(cdr->start_us, cdr->end_us) / 1000000;
		snprintf(buf, size, "%02lld:%02lld:%02lld", (long long)(s / 3600),
			 (long long)(s / 60 % 60), (long long)(s % 60));
		return buf;
	case SPAN_S:
		snprintf(buf, size, "%lld",
			 (long long)(span_us(cdr->start_us, cdr->end_us) / 1000000));
		return buf;
	case BILL:
		s = span_us(cdr->answer_us, cdr->end_us) / 1000;
		snprintf(buf, size, "%lld.%03lld", (long long)(s / 1000), (long long)(s % 1000));
		return buf;
	case WAITED:
		snprintf(buf, size, "%lld",
			 (long long)(span_us(step->enter_us, step->answer_us ? step->answer_us :
									      step->exit_us) / 1000000));
		return buf;
	case SIP_CODE:
		snprintf(buf, size, "%u", cdr->sip_code);
		return buf;
	}
	return "";
}

static char separator(const struct cdr_printer *printer)
{
	return printer->separator ? printer->separator : ',';
}

/* D-242: quoted only when the value needs it. */
static void csv_value(struct web_text *out, const char *value, char sep)
{
	const char special[] = { sep, '"', '\r', '\n', 0 };

	if (!strpbrk(value, special)) {
		web_text_puts(out, value);
		return;
	}
	web_text_add(out, "\"", 1);
	for (; *value; value++) {
		if (*value == '"')
			web_text_add(out, "\"", 1);
		web_text_add(out, value, 1);
	}
	web_text_add(out, "\"", 1);
}

static void print_columns(struct cdr_printer *printer, const struct column *columns, size_t n,
			  const void *base, bool first)
{
	struct web_text *out = &printer->out;
	const char sep = separator(printer);
	char buf[48];

	for (size_t i = 0; i < n; i++) {
		const struct column *c = &columns[i];
		const char *value = base ? value_of(buf, sizeof(buf), printer, c, base) : "";

		switch (printer->repr) {
		case REPR_XML:
			if (*value) {
				web_text_printf(out, "<%s>", c->name);
				web_text_xml(out, value);
				web_text_printf(out, "</%s>", c->name);
			} else {
				web_text_printf(out, "<%s/>", c->name);
			}
			break;
		case REPR_CSV:
			web_text_add(out, &sep, first && !i ? 0 : 1);
			csv_value(out, value, sep);
			break;
		default:
			web_text_printf(out, "%s\"%s\":", first && !i ? "" : ",", c->name);
			if (is_number(c->kind))
				web_text_puts(out, *value ? value : "0");
			else
				web_text_json(out, value);
		}
	}
}

static void csv_header(struct cdr_printer *printer, const struct column *columns, size_t n)
{
	const char sep = separator(printer);

	for (size_t i = 0; i < n; i++) {
		web_text_add(&printer->out, &sep, i ? 1 : 0);
		web_text_puts(&printer->out, columns[i].name);
	}
}

static bool is_blues(enum cdr_format format)
{
	return format == CDR_BLUES_OUT || format == CDR_BLUES;
}

void cdr_print_begin(struct cdr_printer *printer)
{
	const char sep = separator(printer);
	size_t n;
	const struct column *columns = columns_of(printer->format, &n);

	if (is_blues(printer->format))
		return;
	if (printer->repr == REPR_XML) {
		web_text_puts(&printer->out, "<?xml version=\"1.0\"?>\n<cdr>");
	} else if (printer->repr == REPR_CSV) {
		web_text_puts(&printer->out, printer->bom ? "\xef\xbb\xbf#" : "#");
		csv_header(printer, columns, n);
		if (printer->format == CDR_DETAILED) {
			web_text_add(&printer->out, &sep, 1);
			csv_header(printer, detail, COUNT(detail));
		}
		web_text_add(&printer->out, &sep, printer->with_tenant ? 1 : 0);
		web_text_puts(&printer->out, printer->with_tenant ? "tenant\n" : "\n");
	} else {
		web_text_add(&printer->out, "[", 1);
	}
}

/* D-243: date, time, duration, extension, number, line, direction, account code. */
static void blues_row(struct cdr_printer *printer, const struct cdr *cdr)
{
	bool out = !strcmp(cdr->destination_type, "obl"), in = !strcmp(cdr->source_type, "ibl");
	const char *direction = out ? "out" : in ? "in" : "local";
	char start[24];

	if (printer->format == CDR_BLUES_OUT && !out)
		return;
	if (printer->category && strcmp(printer->category, direction))
		return;
	period_print_moment(start, sizeof(start), cdr->start_us);
	web_text_printf(&printer->out, "%.10s,%s,%lld,%s,%s,%s,%s,%s\n", start,
			*start ? start + 11 : "",
			(long long)(span_us(cdr->answer_us, cdr->end_us) / 1000000),
			in ? cdr->answered_by : cdr->caller, in ? cdr->caller : cdr->called,
			cdr->gateway_name, direction, cdr->account_code);
	printer->rows++;
}

static void csv_rows(struct cdr_printer *printer, const struct column *columns, size_t n,
		     const struct cdr *cdr)
{
	size_t steps = printer->format == CDR_DETAILED && cdr->n_details ? cdr->n_details : 1;

	for (size_t i = 0; i < steps; i++) {
		print_columns(printer, columns, n, cdr, true);
		if (printer->format == CDR_DETAILED)
			print_columns(printer, detail, COUNT(detail),
				      cdr->n_details ? &cdr->details[i] : NULL, false);
		if (printer->with_tenant)
			print_columns(printer, &tenant_column, 1, cdr, false);
		web_text_add(&printer->out, "\n", 1);
	}
}

static void xml_row(struct cdr_printer *printer, const struct column *columns, size_t n,
		    const struct cdr *cdr)
{
	struct web_text *out = &printer->out;

	web_text_puts(out, "<call>");
	print_columns(printer, columns, n, cdr, true);
	if (printer->with_tenant)
		print_columns(printer, &tenant_column, 1, cdr, false);
	if (printer->format == CDR_DETAILED) {
		web_text_puts(out, "<details>");
		for (size_t i = 0; i < cdr->n_details; i++) {
			web_text_puts(out, "<detail>");
			print_columns(printer, detail, COUNT(detail), &cdr->details[i], true);
			web_text_puts(out, "</detail>");
		}
		web_text_puts(out, "</details>");
	}
	web_text_puts(out, "</call>");
}

static void json_row(struct cdr_printer *printer, const struct column *columns, size_t n,
		     const struct cdr *cdr)
{
	struct web_text *out = &printer->out;

	web_text_puts(out, printer->rows ? ",{" : "{");
	print_columns(printer, columns, n, cdr, true);
	if (printer->with_tenant)
		print_columns(printer, &tenant_column, 1, cdr, false);
	if (printer->format == CDR_DETAILED) {
		web_text_puts(out, ",\"details\":[");
		for (size_t i = 0; i < cdr->n_details; i++) {
			web_text_puts(out, i ? ",{" : "{");
			print_columns(printer, detail, COUNT(detail), &cdr->details[i], true);
			web_text_add(out, "}", 1);
		}
		web_text_add(out, "]", 1);
	}
	if (printer->with_quality) /* written by us as JSON */
		web_text_printf(out, ",\"q850\":%u,\"quality\":%s", cdr->q850,
				cdr->quality[0] ? cdr->quality : "[]");
	web_text_add(out, "}", 1);
}

void cdr_print_row(struct cdr_printer *printer, const struct cdr *cdr)
{
	size_t n;
	const struct column *columns = columns_of(printer->format, &n);

	if (is_blues(printer->format)) {
		blues_row(printer, cdr);
		return;
	}
	if (printer->repr == REPR_XML)
		xml_row(printer, columns, n, cdr);
	else if (printer->repr == REPR_CSV)
		csv_rows(printer, columns, n, cdr);
	else
		json_row(printer, columns, n, cdr);
	printer->rows++;
}

void cdr_print_end(struct cdr_printer *printer)
{
	if (is_blues(printer->format)) {
		/* An answer without calls is an empty text, not a missing one. */
		web_text_puts(&printer->out, "");
		return;
	}
	if (printer->repr == REPR_XML)
		web_text_puts(&printer->out, "</cdr>\n");
	else if (printer->repr != REPR_CSV)
		web_text_add(&printer->out, "]", 1);
}
