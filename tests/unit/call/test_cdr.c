/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "call/cdr.h"
#include "db/db.h"
#include "db/writer.h"
#include "testdb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(call) assert_int_equal(call, 0)
#define S	 INT64_C(1000000)
#define T0	 (INT64_C(1463997154) * S)

static uint8_t buf[CDR_RECORD_MAX_BYTES], other[CDR_RECORD_MAX_BYTES];

static struct cdr *make(int64_t tenant_id, int n, int64_t start_us, int64_t length_us)
{
	struct cdr *cdr = calloc(1, sizeof(*cdr));

	assert_non_null(cdr);
	cdr->tenant_id = tenant_id;
	(void)snprintf(cdr->unique_id, sizeof(cdr->unique_id), "1463997154.%d", n);
	(void)snprintf(cdr->linkedid, sizeof(cdr->linkedid), "1463997154.%d", n);
	(void)snprintf(cdr->source_type, sizeof(cdr->source_type), "local_exten");
	(void)snprintf(cdr->destination_type, sizeof(cdr->destination_type), "local_exten");
	(void)snprintf(cdr->status, sizeof(cdr->status), "OK");
	(void)snprintf(cdr->caller, sizeof(cdr->caller), "%d", 100 + n);
	(void)snprintf(cdr->called, sizeof(cdr->called), "200");
	(void)snprintf(cdr->src_extension, sizeof(cdr->src_extension), "%d", 100 + n);
	(void)snprintf(cdr->answered_by, sizeof(cdr->answered_by), "200");
	cdr->start_us = start_us;
	cdr->answer_us = start_us + S;
	cdr->end_us = start_us + length_us;
	cdr->sip_code = 200;
	cdr->q850 = 16;
	cdr->n_details = 1;
	(void)snprintf(cdr->details[0].destination_type, 16, "local_exten");
	(void)snprintf(cdr->details[0].destination_num, CDR_TEXT, "200");
	(void)snprintf(cdr->details[0].exit_cause, 24, "NCC");
	cdr->details[0].enter_us = start_us;

	return cdr;
}

static int apply(struct db *db, const struct cdr *cdr)
{
	int n = cdr_pack(cdr, buf, sizeof(buf));

	assert_true(n > 0);

	return cdr_writer_apply(db, CDR_RECORD, buf, (size_t)n);
}

static void add(struct db *db, int64_t tenant_id, int n, int64_t start_us, int64_t length_us)
{
	struct cdr *cdr = make(tenant_id, n, start_us, length_us);

	OK(apply(db, cdr));
	free(cdr);
}

static void fill(char *text, char c)
{
	for (int i = 0; i < CDR_TEXT - 1; i++)
		text[i] = c;
}

/* Every field filled to its end, every detail there. */
static struct cdr *make_full(void)
{
	struct cdr *cdr = make(7, 1, T0, 60 * S);

	fill(cdr->caller_name, 'n');
	fill(cdr->gateway_name, 'g');
	fill(cdr->account_code, 'a');
	fill(cdr->src_peer_name, 'p');
	memset(cdr->src_ip_port, 'i', sizeof(cdr->src_ip_port) - 1);
	(void)snprintf(cdr->call_uuid, sizeof(cdr->call_uuid), "u-1");
	(void)snprintf(cdr->called_name, sizeof(cdr->called_name), "Niccolò 'x' \"y\"; --");
	cdr->anonymous = true;
	cdr->channel_up_us = T0 + 1;
	cdr->sip_code = 603;
	cdr->q850 = 255;
	cdr->n_details = CDR_MAX_DETAILS;
	for (int i = 0; i < CDR_MAX_DETAILS; i++) {
		struct cdr_detail *d = &cdr->details[i];

		fill(d->source_num, 's');
		fill(d->destination_id, 'd');
		fill(d->destination_name, 'd');
		fill(d->answered_by, 'd');
		fill(d->mapped_source_num, 'm');
		fill(d->mapped_dst_num, 'm');
		fill(d->account_code, 'c');
		(void)snprintf(d->destination_num, CDR_TEXT, "%d", i);
		(void)snprintf(d->destination_type, 16, "queue");
		d->anonymous = i % 2;
		d->enter_us = T0 + i;
		d->enqueue_us = T0 + i + 1;
		d->answer_us = T0 + i + 2;
		d->exit_us = T0 + i + 3;
	}

	return cdr;
}

static void a_packed_record_is_the_same(void **state)
{
	struct cdr *cdr = make_full(), *back = calloc(1, sizeof(*back));
	int n = cdr_pack(cdr, buf, sizeof(buf));

	assert_true(n > 0);
	memset(back, 0xaa, sizeof(*back));
	OK(cdr_unpack(back, buf, (size_t)n));
	assert_int_equal(back->n_details, CDR_MAX_DETAILS);
	assert_string_equal(back->caller_name, cdr->caller_name);
	assert_string_equal(back->called_name, cdr->called_name);
	assert_int_equal(back->sip_code, 603);
	assert_int_equal(back->q850, 255);
	assert_true(back->anonymous);
	assert_true(back->end_us == cdr->end_us);
	assert_string_equal(back->details[63].destination_num, "63");
	assert_true(back->details[63].exit_us == T0 + 66);
	/* Packing again says that nothing was lost on the way. */
	memcpy(cdr, back, sizeof(*cdr));
	assert_int_equal(cdr_pack(cdr, buf, sizeof(buf)), n);

	assert_int_equal(cdr_pack(cdr, buf, (size_t)n - 1), -EMSGSIZE);
	assert_int_equal(cdr_pack(cdr, buf, 2), -EMSGSIZE);
	free(cdr);
	free(back);
}

/* What stands in a file may be anything: each bit flipped, each length cut, and noise. */
static void unpacking_survives_anything(void **state)
{
	struct cdr *cdr = make(1, 1, T0, S), *back = calloc(1, sizeof(*back));
	int n = cdr_pack(cdr, buf, sizeof(buf));
	unsigned seed = 1;
	int refused = 0;

	for (int cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc((size_t)cut + 1); /* an overrun is seen */

		memcpy(exact, buf, (size_t)cut);
		exact = realloc(exact, cut ? (size_t)cut : 1);
		refused += cdr_unpack(back, exact, (size_t)cut) == -EBADMSG;
		free(exact);
	}
	assert_true(refused > n / 2);
	for (int bit = 0; bit < n * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		(void)cdr_unpack(back, buf, (size_t)n);
		assert_true(back->n_details <= CDR_MAX_DETAILS);
		assert_true(strnlen(back->caller, CDR_TEXT) < CDR_TEXT);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (int round = 0; round < 2000; round++) {
		int len = rand_r(&seed) % 600;

		for (int i = 4; i < len; i++)
			buf[i] = (uint8_t)rand_r(&seed);
		(void)cdr_unpack(back, buf, (size_t)len);
	}
	/* More details than there is room for. */
	memcpy(buf, "\0\0\1\1", 4);
	for (int i = 0; i < CDR_MAX_DETAILS + 1; i++)
		memcpy(buf + 4 + 3 * i, "\xff\0\0", 3);
	assert_int_equal(cdr_unpack(back, buf, 4 + 3 * (CDR_MAX_DETAILS + 1)), -EBADMSG);
	OK(cdr_unpack(back, buf, 4 + 3 * CDR_MAX_DETAILS));
	/* A newer program's field is passed over. */
	memcpy(buf + 4, "\xc8\0\2xy", 5);
	OK(cdr_unpack(back, buf, 9));
	free(cdr);
	free(back);
}

static int keep_first(const struct cdr *cdr, void *arg)
{
	memcpy(arg, cdr, sizeof(*cdr));

	return 1;
}

static void one_row_with_its_path(void **state)
{
	struct testdb *t = *state;
	struct cdr *cdr = make_full(), *back = calloc(1, sizeof(*back));
	struct cdr_query q = { .tenant_id = 7 };
	int64_t n = 0;

	OK(cdr_migrate(t->db));
	OK(cdr_migrate(t->db));
	OK(apply(t->db, cdr));
	OK(apply(t->db, cdr)); /* again: nothing changes */
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM cdr", DB_NO_ARGS));
	assert_int_equal(n, 1);
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM cdr_detail", DB_NO_ARGS));
	assert_int_equal(n, CDR_MAX_DETAILS);

	assert_int_equal(cdr_select(t->db, &q, true, keep_first, back), 1);
	assert_int_equal(back->n_details, CDR_MAX_DETAILS);
	n = cdr_pack(cdr, buf, sizeof(buf));
	assert_int_equal(cdr_pack(back, other, sizeof(other)), n);
	assert_memory_equal(buf, other, (size_t)n);

	assert_int_equal(cdr_select(t->db, &q, false, keep_first, back), 1);
	assert_int_equal(back->n_details, 0);
	assert_int_equal(cdr_writer_apply(t->db, CDR_RECORD, "x", 1), -EBADMSG);
	assert_int_equal(cdr_writer_apply(t->db, CDR_RECORD + 1, buf, (size_t)n), -EINVAL);
	free(cdr);
	free(back);
}

static void a_strange_name_costs_no_record(void **state)
{
	struct testdb *t = *state;
	struct cdr *cdr = make(1, 1, T0, S);
	char text[CDR_TEXT];

	OK(cdr_migrate(t->db));
	(void)snprintf(cdr->caller_name, CDR_TEXT,
		       "a\xff"
		       "b\xc3(c\xed\xa0\x80 \xe2\x82\xac \xf0\x9f");
	OK(apply(t->db, cdr));
	OK(db_query_text(text, sizeof(text), t->db, "SELECT caller_name FROM cdr", DB_NO_ARGS));
	assert_string_equal(text, "a?b?(c??? \xe2\x82\xac ??");
	free(cdr);
}

struct seen {
	char list[4000];
	int n, stop_at;
	struct db *db;
};

static int note(const struct cdr *cdr, void *arg)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->list);

	if (len + 16 < sizeof(seen->list))
		(void)snprintf(seen->list + len, sizeof(seen->list) - len, "%s%s", len ? " " : "",
			       strchr(cdr->unique_id, '.') + 1);
	seen->n++;

	return seen->n == seen->stop_at ? 42 : 0;
}

static void expect(struct db *db, const struct cdr_query *q, const char *list)
{
	struct seen seen = { .n = 0 };

	OK(cdr_select(db, q, true, note, &seen));
	assert_string_equal(seen.list, list);
}

static void the_end_files_a_call_and_the_start_sorts_it(void **state)
{
	struct testdb *t = *state;
	struct cdr *cdr;

	OK(cdr_migrate(t->db));
	add(t->db, 1, 1, T0, 10 * S);
	add(t->db, 1, 2, T0 + 5 * S, 1 * S);	 /* ends at +6 */
	add(t->db, 1, 3, T0 + 20 * S, 10 * S);	 /* ends at +30 */
	add(t->db, 1, 4, T0 - 100 * S, 125 * S); /* begins first, ends at +25 */
	add(t->db, 2, 5, T0 + 1 * S, 1 * S);

	expect(t->db, &(struct cdr_query){ .tenant_id = 1 }, "3 2 1 4");
	expect(t->db, &(struct cdr_query){ .tenant_id = 2 }, "5");
	expect(t->db, &(struct cdr_query){ .tenant_id = 0 }, "3 2 5 1 4");
	/* to_us is exclusive, from_us inclusive; both on the end. */
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .from_us = T0 + 10 * S }, "3 1 4");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .from_us = T0 + 10 * S + 1 }, "3 4");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .to_us = T0 + 30 * S }, "2 1 4");
	expect(t->db,
	       &(struct cdr_query){ .tenant_id = 1, .from_us = T0 + 6 * S, .to_us = T0 + 25 * S },
	       "2 1");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .limit = 2 }, "3 2");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .limit = 2, .offset = 1 }, "2 1");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .offset = 9 }, "");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .unique_id = "1463997154.3" }, "3");
	expect(t->db, &(struct cdr_query){ .tenant_id = 2, .unique_id = "1463997154.3" }, "");
	expect(t->db,
	       &(struct cdr_query){
		       .tenant_id = 1, .unique_id = "1463997154.3", .to_us = T0 + 30 * S },
	       "");

	/* Of an extension: made by it, answered by it, or rung in vain. */
	cdr = make(1, 6, T0 + 40 * S, S);
	cdr->answered_by[0] = '\0';
	(void)snprintf(cdr->called, sizeof(cdr->called), "0551234567");
	(void)snprintf(cdr->details[0].destination_num, CDR_TEXT, "103");
	OK(apply(t->db, cdr));
	free(cdr);
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .extension = "103" }, "6 3");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .extension = "200" }, "3 2 1 4");
	expect(t->db, &(struct cdr_query){ .tenant_id = 1, .extension = "1" }, "");
}

static void many_rows_come_page_by_page(void **state)
{
	struct testdb *t = *state;
	struct seen seen = { .n = 0 };
	struct cdr_query q = { .tenant_id = 1 };

	OK(cdr_migrate(t->db));
	OK(db_begin(t->db));
	for (int i = 0; i < 650; i++)
		add(t->db, 1, i, T0 + i / 7 * S, S); /* seven begin together */
	OK(db_commit(t->db));

	OK(cdr_select(t->db, &q, true, note, &seen));
	assert_int_equal(seen.n, 650);
	assert_int_equal(strncmp(seen.list, "649 648 647 646", 15), 0);

	q.limit = 401;
	q.offset = 200;
	seen = (struct seen){ .n = 0 };
	OK(cdr_select(t->db, &q, false, note, &seen));
	assert_int_equal(seen.n, 401);
	assert_int_equal(strncmp(seen.list, "449 448", 7), 0);

	seen = (struct seen){ .stop_at = 250 };
	assert_int_equal(cdr_select(t->db, &q, false, note, &seen), 42);
	assert_int_equal(seen.n, 250);
}

static int writer_apply(struct db *db, uint32_t kind, const void *data, size_t len, void *arg)
{
	return cdr_writer_apply(db, kind, data, len);
}

static void records_come_through_the_journal(void **state)
{
	struct testdb *t = *state;
	struct writer_opts opts = {
		.journal_dir = t->dir, .name = "cdr", .db_url = t->url, .apply_h = writer_apply
	};
	struct writer *w = NULL;
	int64_t n = 0;

	OK(cdr_migrate(t->db));
	OK(writer_start(&w, &opts));
	for (int i = 0; i < 500; i++) {
		struct cdr *cdr = make(1, i % 400, T0, S); /* a hundred twice */
		int len = cdr_pack(cdr, buf, sizeof(buf));

		OK(writer_post(w, CDR_RECORD, buf, (size_t)len, NULL));
		free(cdr);
	}
	writer_stop(w, 20000);
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM cdr", DB_NO_ARGS));
	assert_int_equal(n, 400);
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM cdr_detail", DB_NO_ARGS));
	assert_int_equal(n, 400);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		{ "a packed record is the same", a_packed_record_is_the_same, NULL, NULL, NULL },
		{ "unpacking survives anything", unpacking_survives_anything, NULL, NULL, NULL },
		TESTDB_BOTH("[PLT-59] [PLT-60] one row a call, with its path",
			    one_row_with_its_path),
		TESTDB_BOTH("a strange name costs no record", a_strange_name_costs_no_record),
		TESTDB_BOTH("[D-209] the end files a call, the start sorts it",
			    the_end_files_a_call_and_the_start_sorts_it),
		TESTDB_BOTH("many rows come page by page", many_rows_come_page_by_page),
		TESTDB_BOTH("records come through the journal", records_come_through_the_journal),
	};

	return testdb_run(tests);
}
