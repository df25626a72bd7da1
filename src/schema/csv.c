/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/json.h"
#include "schema/schema_priv.h"

/*
 * CSV in and out (D-213, D-368; RFC 4180 with what spreadsheets do to it). A cell holds what a
 * person reads: words for booleans and choices, the title of what is referred to, "a,b" for lists,
 * JSON for the rest. An empty cell of an inheritable field inherits.
 */
#define MAX_COLUMNS   SCH_MAX_FIELDS
#define MAX_CELL      (64u * 1024)
#define MAX_ERRORS    1000 /* kept in the answer */

/* ------------------------------------------------------------------ writing */

struct writer {
	struct sch_ctx *ctx;
	const struct sch_entity *entity;
	struct sch_out *out;
	char separator;
	bool secrets;
};

static bool exported(const struct writer *w, const struct sch_field *f)
{
	if (!sch_stored(f) || f->flags & SCH_HIDDEN || f->type == SCH_VERIFIER)
		return false;
	return f->type != SCH_SECRET || w->secrets;
}

/* A cell that a spreadsheet would take for a formula gets an apostrophe, which imports take off. */
static bool looks_like_formula(const char *text)
{
	return strchr("=@+-'", text[0]) && text[0] && strspn(text, "+-0123456789") != strlen(text);
}

static int cell(struct writer *w, const char *text)
{
	int err = 0;

	if (looks_like_formula(text))
		err = sch_out_mem(w->out, "\"'", 2);
	else if (strpbrk(text, ",;\"\r\n")) /* either separator: who reads may have to guess it */
		err = sch_out_mem(w->out, "\"", 1);
	else
		return sch_out_text(w->out, text);
	for (; !err && *text; text++) {
		err = sch_out_mem(w->out, text, 1);
		if (!err && *text == '"')
			err = sch_out_mem(w->out, "\"", 1);
	}
	return err ? err : sch_out_mem(w->out, "\"", 1);
}

static int title_text(char *buf, size_t size, struct sch_ctx *ctx, const char *entity, int64_t id)
{
	const struct sch_entity *e = sch_find(entity);
	char sql[160];

	(void)snprintf(sql, sizeof(sql), "SELECT \"%s\" FROM \"%s\" WHERE id = $1", e->title_field,
		       e->name);
	return db_query_text(buf, size, ctx->db, sql, DB_ARGS(db_i64(id)));
}

/* Items with a comma or a quote stand in quotes of their own, quotes doubled. */
static int list_item(struct sch_out *out, const char *text)
{
	int err;

	if (!strpbrk(text, ",\""))
		return sch_out_text(out, text);
	err = sch_out_mem(out, "\"", 1);
	for (; !err && *text; text++)
		err = sch_out_mem(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	return err ? err : sch_out_mem(out, "\"", 1);
}

static int list_cell(struct writer *w, const struct sch_field *f, const json_t *list)
{
	struct sch_out text = { 0 };
	char title[260];
	json_t *item;
	size_t i;
	int err = sch_out_text(&text, "");

	json_array_foreach(list, i, item) {
		const char *word = json_string_value(item);

		if (!err && f->type == SCH_REF_LIST) {
			err = title_text(title, sizeof(title), w->ctx, f->ref,
					 json_integer_value(item));
			word = title;
		}
		if (!err && i)
			err = sch_out_mem(&text, ",", 1);
		if (!err)
			err = list_item(&text, word ? word : "");
	}
	if (!err)
		err = cell(w, text.text);
	sch_out_free(&text);
	return err;
}

static int value_cell(struct writer *w, const struct sch_field *f, const json_t *value)
{
	char text[300];
	char *dump;
	int err;

	if (!value || json_is_null(value))
		return 0;
	if (json_is_string(value))
		return cell(w, json_string_value(value));
	if (f->type == SCH_REF) {
		err = title_text(text, sizeof(text), w->ctx, f->ref, json_integer_value(value));
		return err ? err : cell(w, text);
	}
	if (json_is_array(value) && f->type != SCH_LIST)
		return list_cell(w, f, value);
	dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	err = dump ? cell(w, dump) : -ENOMEM;
	free(dump);
	return err;
}

static int header_row(struct writer *w)
{
	const char sep[] = { w->separator, 0 };
	const char *before = "";
	int err = 0;

	for (size_t i = 0; !err && i < w->entity->n_fields; i++) {
		if (!exported(w, &w->entity->fields[i]))
			continue;
		err = sch_out_text(w->out, before);
		if (!err)
			err = sch_out_text(w->out, w->entity->fields[i].name);
		before = sep;
	}
	return err ? err : sch_out_text(w->out, "\r\n");
}

static bool in_names(const json_t *names, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(names, i, item)
		if (!strcmp(json_string_value(item), name))
			return true;
	return false;
}

static int object_row(struct writer *w, const json_t *row)
{
	const json_t *overrides = json_object_get(row, "overrides");
	const char sep[] = { w->separator, 0 };
	const char *before = "";
	int err = 0;

	for (size_t i = 0; !err && i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];

		if (!exported(w, f))
			continue;
		err = sch_out_text(w->out, before);
		before = sep;
		/* What is inherited stays empty, so that an import of the file inherits again. */
		if (!err && (!(f->flags & SCH_INHERIT) || in_names(overrides, f->name)))
			err = value_cell(w, f, json_object_get(row, f->name));
	}
	return err ? err : sch_out_text(w->out, "\r\n");
}

int sch_csv_export(struct sch_ctx *ctx, const struct sch_entity *entity,
		   const struct sch_query *query, char separator, bool bom, bool secrets,
		   struct sch_out *out)
{
	struct writer w = { ctx, entity, out, separator, secrets };
	struct sch_query all = *query;
	struct sch_out text = { 0 };
	bool reveal = ctx->reveal_secrets;
	json_t *list = NULL, *row;
	size_t i;
	int err;

	all.fields = NULL;
	ctx->reveal_secrets = secrets;
	err = sch_list(ctx, entity, &all, &text, NULL);
	ctx->reveal_secrets = reveal;
	if (!err) {
		list = json_loadb(text.text, text.len, 0, NULL);
		err = list ? 0 : -ENOMEM;
	}
	sch_out_free(&text);
	if (!err && bom)
		err = sch_out_text(out, "\xef\xbb\xbf");
	if (!err)
		err = header_row(&w);
	json_array_foreach(list, i, row)
		if (!err)
			err = object_row(&w, row);
	json_decref(list);
	return err;
}

/* ------------------------------------------------------------------ reading */

struct reader {
	struct sch_ctx *ctx;
	const struct sch_entity *entity;
	const char *p, *end;
	char separator;
	size_t line; /* 1: the header */
	const struct sch_field *columns[MAX_COLUMNS];
	size_t n_columns;
	char cell[MAX_CELL];
	/* Of the row: bytes that are no UTF-8 text; cells beyond the header's; titles that nothing has. */
	bool bad_text, surplus, bad_ref;
	json_t *errors;
	int64_t created, updated, failed, rows;
};

static int add_error(struct reader *r, const char *field, const char *code, const char *message)
{
	if (json_array_size(r->errors) >= MAX_ERRORS)
		return 0;
	return json_array_append_new(r->errors,
				     json_pack("{s:I, s:s, s:s, s:s}", "row", (json_int_t)r->line,
					       "field", field, "code", code, "message", message)) ?
		       -ENOMEM :
		       0;
}

static bool is_separator(const struct reader *r, char c)
{
	return r->separator && c == r->separator;
}

static bool is_utf8(const char *text)
{
	json_t *value = json_string(text); /* refuses what is none */

	json_decref(value);
	return value;
}

/* One cell into r->cell. Returns 1 when more of the row follows, 0 at its end, or an error after which
 * nobody can say where the next row begins. */
static int read_cell(struct reader *r)
{
	size_t n = 0;
	bool plain = true;
	bool quoted = r->p < r->end && *r->p == '"';

	if (quoted)
		r->p++;
	for (; r->p < r->end; r->p++) {
		char c = *r->p;

		if (quoted && c == '"') {
			if (r->p + 1 < r->end && r->p[1] == '"')
				r->p++;
			else {
				quoted = false;
				continue;
			}
		}
		else if (!quoted && (is_separator(r, c) || c == '\r' || c == '\n'))
			break;
		if (n + 1 >= sizeof(r->cell))
			return -EMSGSIZE;
		plain = plain && c > 0;
		r->cell[n++] = c;
	}
	r->cell[n] = '\0';
	if (quoted)
		return -EINVAL; /* the file ends inside quotes */
	if (!plain && (memchr(r->cell, 0, n) || !is_utf8(r->cell)))
		r->bad_text = true;
	if (r->p < r->end && is_separator(r, *r->p)) {
		r->p++;
		return 1;
	}
	if (r->p < r->end && *r->p == '\r')
		r->p++;
	if (r->p < r->end && *r->p == '\n')
		r->p++;
	return 0;
}

/* 0: there is one column, whatever its cells hold. */
static char detect_separator(const char *text, const char *end)
{
	size_t commas = 0, semicolons = 0, tabs = 0;

	for (; text < end && *text != '\n'; text++) {
		commas += *text == ',';
		semicolons += *text == ';';
		tabs += *text == '\t';
	}
	if (!commas && !semicolons && !tabs)
		return 0;
	if (tabs > commas && tabs > semicolons)
		return '\t';
	return semicolons >= commas ? ';' : ',';
}

static bool column_taken(const struct reader *r, const struct sch_field *f)
{
	for (size_t i = 0; i < r->n_columns; i++)
		if (r->columns[i] == f)
			return true;
	return false;
}

/* By name, or by a label: of fields with the same label the next one that has no column yet. */
static const struct sch_field *column_field(const struct reader *r, char *name)
{
	const struct sch_entity *e = r->entity;
	const struct sch_field *f = NULL;
	char snake[100];
	size_t n;

	while (*name == ' ')
		name++;
	n = strlen(name);
	while (n && name[n - 1] == ' ')
		name[--n] = '\0';
	sch_snake(snake, sizeof(snake), name);
	f = sch_field_find(e->fields, e->n_fields, name);
	if (!f)
		f = sch_field_find(e->fields, e->n_fields, snake);
	for (size_t i = 0; !f && i < e->n_fields; i++)
		if (!(e->fields[i].flags & SCH_HIDDEN) && !column_taken(r, &e->fields[i]) &&
		    (sch_same_nocase(e->fields[i].label.it, name) ||
		     sch_same_nocase(e->fields[i].label.en, name)))
			f = &e->fields[i];
	return f && !(f->flags & SCH_HIDDEN) && !column_taken(r, f) ? f : NULL;
}

static int read_header(struct reader *r)
{
	struct sch_ctx *ctx = r->ctx;
	char message[200];
	int more = 1, err = 0;

	while (more > 0) {
		const struct sch_field *f;

		more = read_cell(r);
		if (more < 0)
			return more;
		if (r->bad_text)
			return -EILSEQ;
		if (r->n_columns >= MAX_COLUMNS)
			return -E2BIG;
		f = column_field(r, r->cell); /* a second one of the same name is refused */
		r->columns[r->n_columns++] = f;
		if (f || (!strcmp(r->cell, "id") || !strcmp(r->cell, "revision") ||
			  !strcmp(r->cell, "overrides") || (!r->cell[0] && !more)))
			continue;
		(void)snprintf(message, sizeof(message),
			       SCH_TR(ctx, "La colonna \"%.60s\" non è un campo: correggere l'intestazione o toglierla.",
				      "Column \"%.60s\" is no field: correct the header or remove it."),
			       r->cell);
		err = err ? err : add_error(r, r->cell, "unknown_field", message);
		r->failed = -1; /* nothing is imported under a wrong header */
	}
	return err;
}

/* The id that a title means. Text that is no title is an error and never an id: extension 12 that is
 * not there must not become the one with that id. */
static json_t *ref_of(struct reader *r, const struct sch_field *f, const char *title)
{
	const struct sch_entity *target = sch_find(f->ref);
	struct sch_ctx *ctx = r->ctx;
	char message[400];
	int64_t id;

	if (target && target->title_field && !sch_find_title(&id, ctx, target, title))
		return json_integer(id);
	(void)snprintf(message, sizeof(message),
		       SCH_TR(ctx, "%s: \"%.100s\" non esiste. Correggere la cella o crearlo prima.",
			      "%s: there is no \"%.100s\". Correct the cell, or make it first."),
		       target ? SCH_TR(ctx, target->label_one.it, target->label_one.en) : f->name, title);
	r->bad_ref = true;
	if (add_error(r, f->name, "not_found", message))
		return NULL;
	return json_null();
}

/* The next item of a list as list_item() writes it. Returns what follows. */
static const char *next_item(char *buf, size_t size, const char *text)
{
	const bool quoted = *text == '"';
	size_t n = 0;

	for (text += quoted; *text && (quoted || *text != ','); text++) {
		if (quoted && *text == '"' && *++text != '"')
			break;
		if (n + 1 < size)
			buf[n++] = *text;
	}
	buf[n] = '\0';
	text += strcspn(text, ",");
	return text + (*text == ',');
}

static json_t *ref_list_of(struct reader *r, const struct sch_field *f, const char *text)
{
	json_t *list = json_array();
	char title[260];

	while (list && *text) {
		text = next_item(title, sizeof(title), text);
		if (title[0] && json_array_append_new(list, ref_of(r, f, title)))
			break;
	}
	return list;
}

/* "192168001010" was 192.168.001.010 before a spreadsheet took it for a number (D-368). */
static bool restore_address(char *buf, size_t size, const char *text)
{
	unsigned part[4];

	if (strlen(text) != 12 || strspn(text, "0123456789") != 12)
		return false;
	for (int i = 0; i < 4; i++) {
		char octet[4] = { text[3 * i], text[3 * i + 1], text[3 * i + 2], 0 };

		part[i] = (unsigned)strtoul(octet, NULL, 10);
		if (part[i] > 255)
			return false;
	}
	return snprintf(buf, size, "%u.%u.%u.%u", part[0], part[1], part[2], part[3]) < (int)size;
}

static json_t *cell_value(struct reader *r, const struct sch_field *f)
{
	const char *text = r->cell;
	char address[20];
	json_t *value = NULL;

	if (text[0] == '\'')
		text++;
	if (!*text)
		return json_null();
	if (f->type == SCH_REF)
		return ref_of(r, f, text);
	if (f->type == SCH_REF_LIST)
		return ref_list_of(r, f, text);
	if (f->type == SCH_DEST || f->type == SCH_OBJECT || f->type == SCH_LIST)
		(void)js_parse(&value, text, strlen(text), NULL, 0);
	if ((f->type == SCH_HOST || f->type == SCH_NET_LIST) &&
	    restore_address(address, sizeof(address), text))
		return json_string(address);
	return value ? value : json_string(text);
}

/* Reads one row into *body. Returns 1, 0 for an empty row, or an error. */
static int read_row(json_t **body, struct reader *r)
{
	json_t *row = json_object();
	int more = 1, err = row ? 0 : -ENOMEM;
	bool any = false;

	r->line++;
	r->bad_text = r->surplus = r->bad_ref = false;
	for (size_t i = 0; !err && more > 0; i++) {
		const struct sch_field *f = i < r->n_columns ? r->columns[i] : NULL;

		more = read_cell(r);
		if (more < 0) {
			err = more;
			break;
		}
		any = any || r->cell[0] || r->bad_text;
		r->surplus = r->surplus || (i >= r->n_columns && r->cell[0]);
		/* Secrets cannot be cleared by a file: exports do not have them. */
		if (f && !r->bad_text && (r->cell[0] || !sch_is_secret(f->type)) &&
		    json_object_set_new(row, f->name, cell_value(r, f)))
			err = -ENOMEM;
	}
	if (err || !any) {
		json_decref(row);
		return err;
	}
	*body = row;
	return 1;
}

static int find_by_key(int64_t *ret, struct reader *r, const char *key, const char *text)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql), "SELECT id FROM \"%s\" WHERE tenant_id = $1 AND \"%s\" = $2",
		       r->entity->name, key);
	return db_query_i64(ret, r->ctx->db, sql,
			    DB_ARGS(db_i64(sch_scope_id(r->ctx, r->entity)), db_text(text)));
}

/* The row that a line of the file means: by its natural key, else by its title. */
static int find_existing(int64_t *ret, struct reader *r, const json_t *body)
{
	const struct sch_entity *e = r->entity;
	const char *key = e->natural_key && strcmp(e->natural_key, "uuid") ? e->natural_key :
									     e->title_field;
	const char *text = key ? json_string_value(json_object_get(body, key)) : NULL;
	int err;

	*ret = 0;
	if (!text)
		return 0;
	err = e->title_field && !strcmp(key, e->title_field) ? sch_find_title(ret, r->ctx, e, text) :
							       find_by_key(ret, r, key, text);

	return err == -ENOENT ? 0 : err;
}

/* What the write said of the row as a whole. */
static const char *refusal(const struct sch_ctx *ctx, int err)
{
	if (err == -EFORBIDDEN)
		return SCH_TR(ctx, "Il tuo ruolo non permette di modificare questo oggetto.",
			      "Your role may not change this object.");
	if (err == -ENOENT)
		return SCH_TR(ctx, "L'oggetto non c'è più: ripetere l'importazione.",
			      "The object is no longer there: import again.");
	return err_text(err);
}

static int note_problems(struct reader *r, int err)
{
	struct sch_ctx *ctx = r->ctx;
	int e = 0;

	r->failed++;
	for (size_t i = 0; !e && i < ctx->n_problems; i++)
		e = add_error(r, ctx->problems[i].field, ctx->problems[i].code,
			      ctx->problems[i].message);
	if (!ctx->n_problems)
		e = add_error(r, r->entity->title_field ? r->entity->title_field : "", "refused",
			      refusal(ctx, err));
	ctx->n_problems = 0;
	return e;
}

static bool is_row_error(int err)
{
	return err == -EINVAL || err == -EDUPLICATE || err == -EINUSE || err == -EFORBIDDEN ||
	       err == -ENOENT;
}

static int import_row(struct reader *r, const json_t *body)
{
	struct sch_ctx *ctx = r->ctx;
	int64_t id = 0;
	int err = find_existing(&id, r, body);

	if (err)
		return err;
	r->rows++;
	ctx->n_problems = 0;
	err = sch_write(ctx, r->entity, id ? SCH_PATCH : SCH_CREATE, id, body, 0, NULL);
	json_decref(ctx->generated);
	ctx->generated = NULL;
	if (is_row_error(err))
		return note_problems(r, err);
	if (!err && id)
		r->updated++;
	else if (!err)
		r->created++;
	return err;
}

/* What cannot be read. err: -EMSGSIZE and -EINVAL end the reading, -EILSEQ is of one row. */
static int bad_text(struct reader *r, int err)
{
	struct sch_ctx *ctx = r->ctx;

	r->failed++;
	if (err == -EMSGSIZE)
		return add_error(r, "", "malformed",
				 SCH_TR(ctx, "Una cella è troppo lunga: controllare le virgolette. Da qui in poi non si è letto nulla.",
					"A cell is too long: check the quotes. Nothing was read from here on."));
	if (err == -EINVAL)
		return add_error(r, "", "malformed",
				 SCH_TR(ctx, "Le virgolette di questa riga non si chiudono: controllarle. Da qui in poi non si è letto nulla.",
					"The quotes of this row are not closed: check them. Nothing was read from here on."));
	return add_error(r, "", "malformed",
			 SCH_TR(ctx, "La riga non si può leggere: salvare il file con codifica UTF-8.",
				"The row cannot be read: save the file in UTF-8."));
}

static int too_many_cells(struct reader *r)
{
	struct sch_ctx *ctx = r->ctx;

	r->rows++;
	r->failed++;
	return add_error(r, "", "too_many_cells",
			 SCH_TR(ctx, "La riga ha più celle dell'intestazione: mettere tra virgolette il testo che contiene il separatore.",
				"The row has more cells than the header: put text that holds the separator in quotes."));
}

static int import_rows(struct reader *r)
{
	int err = 0;

	while (!err && r->p < r->end) {
		json_t *body = NULL;
		int got = read_row(&body, r);

		if (got < 0)
			return got == -ENOMEM ? got : bad_text(r, got);
		if (!got)
			continue;
		if (r->rows >= SCH_CSV_MAX_ROWS)
			err = -E2BIG;
		else if (r->bad_text)
			err = bad_text(r, -EILSEQ);
		else if (r->surplus)
			err = too_many_cells(r);
		else if (r->bad_ref)
			r->rows++, r->failed++; /* told by ref_of() */
		else
			err = import_row(r, body);
		json_decref(body);
	}
	return err;
}

static int too_big(struct sch_ctx *ctx)
{
	sch_problem_add(ctx, "", "too_big",
			SCH_TR(ctx, "Il file è troppo grande: al massimo %u MB e %d righe; dividerlo.",
			       "The file is too big: at most %u MB and %d rows; split it."),
			SCH_CSV_MAX_BYTES / 1024 / 1024, SCH_CSV_MAX_ROWS);
	return -EINVAL;
}

/* Everything happens in one transaction; a preview, or all-or-nothing with errors, takes it back. */
static int run(struct reader *r, enum sch_import mode)
{
	bool keep;
	int err = db_begin(r->ctx->db);

	if (err)
		return err;
	err = sch_batch_begin(r->ctx, sch_scope_id(r->ctx, r->entity));
	if (!err)
		err = read_header(r);
	if (err == -EINVAL || err == -EMSGSIZE || err == -EILSEQ)
		err = bad_text(r, err);
	else if (!err && r->failed >= 0)
		err = import_rows(r);
	if (r->failed < 0)
		r->failed = 0;
	if (!err)
		err = sch_batch_end(r->ctx);
	r->ctx->batch_revision = 0;
	r->ctx->batch_wrote = false;
	keep = !err && mode != SCH_IMPORT_PREVIEW &&
	       (mode == SCH_IMPORT_VALID_ROWS || !json_array_size(r->errors));
	if (keep)
		err = db_commit(r->ctx->db);
	if (!keep || err)
		db_rollback(r->ctx->db);
	if (!keep && mode == SCH_IMPORT_ALL_OR_NOTHING)
		r->created = r->updated = 0;
	return err == -E2BIG ? too_big(r->ctx) : err;
}

int sch_csv_import(struct sch_ctx *ctx, const struct sch_entity *entity, enum sch_import mode,
		   const char *text, size_t len, json_t **ret)
{
	struct reader *r;
	int err;

	if (len > SCH_CSV_MAX_BYTES)
		return too_big(ctx);
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ctx = ctx;
	r->entity = entity;
	r->p = text;
	r->end = text + len;
	r->line = 1;
	r->errors = json_array();
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		r->p += 3;
	for (; r->p < r->end && (*r->p == '\r' || *r->p == '\n'); r->p++)
		r->line += *r->p == '\n'; /* empty rows before the header (D-368) */
	r->separator = detect_separator(r->p, r->end);
	err = r->errors ? run(r, mode) : -ENOMEM;
	ctx->n_problems = err == -EINVAL ? ctx->n_problems : 0;
	if (!err) {
		*ret = json_pack("{s:I, s:I, s:I, s:I, s:O}", "rows", (json_int_t)r->rows, "created",
				 (json_int_t)r->created, "updated", (json_int_t)r->updated, "failed",
				 (json_int_t)r->failed, "errors", r->errors);
		err = *ret ? 0 : -ENOMEM;
	}
	json_decref(r->errors);
	free(r);
	return err;
}
